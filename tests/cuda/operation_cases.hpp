/// @file
/// The operations of the tape, the optimiser and the adapters, run by every backend and compared.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/autograd/ops.hpp"
#include "branchlora/optim/adamw.hpp"
#include "cuda/cases.hpp"

namespace branchlora::test {
namespace cases {

/// The value of an operation on parameters, and their gradients under a weighted sum of it.
template <Backend B, class Apply>
Results operation(B& b, const Results& inputs, Apply apply) {
  using T = typename B::Scalar;
  ParameterSet<B> parameters(b);
  Tape<B> tape(b);
  std::vector<Var<T>> vars;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    auto& p = parameters.add(std::to_string(i), inputs[i].rows, inputs[i].cols);
    write(b, p.value, inputs[i]);
    parameters.set_trainable(p, true);
  }
  Results results;
  // The second time gradients meet what the first left on the tape.
  for (const bool twice : {false, true}) {
    tape.reset();
    vars.clear();
    for (auto& p : parameters) {
      const auto v = tape.parameter(p);
      vars.push_back(twice ? op::add(tape, v, v, T(0.5)) : v);
    }
    auto y = apply(tape, vars);
    if (twice) y = op::add(tape, y, apply(tape, vars));
    const auto weights = tape.scratch(1, y.value().size());
    write(b, weights, random_dense(1, y.value().size(), 90));
    tape.backward(
        op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(weights)));
    results.push_back(read(b, y.value()));
    for (auto& p : parameters) results.push_back(read(b, p.grad));
    parameters.clear_gradients();
  }
  return results;
}

/// The tokens of a batch (a multiple of 18), their width and that of an attention head.
struct Size {
  Index tokens = 18;
  Index width = 24;
  Index head = 6;
};

/// An operation of the tape: its inputs, and how it is applied to them.
template <Backend B>
struct Operation {
  using T = typename B::Scalar;
  using Vars = std::vector<Var<T>>;

  std::string name;
  Results inputs;
  std::function<Var<T>(Tape<B>&, const Vars&)> apply;
};

/// Every operation, at a size. What is uploaded for them lives as long as the list.
template <Backend B>
std::vector<Operation<B>> operations(B& b, const Size& size = {}) {
  using T = typename B::Scalar;
  using Vars = std::vector<Var<T>>;
  using Numbers = std::vector<std::int32_t>;
  const auto [tokens, width, head] = size;
  const Index half = width / 2 - width / 8;
  const Dense x = random_dense(tokens, width, 1);
  const Dense z = random_dense(tokens, width, 2);
  const Dense row = random_dense(1, width, 3);
  const auto count = static_cast<std::int32_t>(tokens);
  const auto index = std::make_shared<Numbers>();
  const auto two = std::make_shared<Numbers>();
  const auto targets = std::make_shared<Numbers>();
  for (std::int32_t i = 0; i < count * 5 / 3; ++i) {
    index->push_back(i * 7 % count);
    two->push_back(i % 3 == 0 ? -1 - i % count : i % count);
    if (i < count)
      targets->push_back(i % 5 == 0 ? op::ignored : i % static_cast<std::int32_t>(width));
  }
  const auto sequences = std::make_shared<Sequences>();
  sequences->push(tokens * 7 / 18, {tokens * 5 / 18, tokens * 3 / 18});
  sequences->push(tokens * 3 / 18);
  const auto rope = std::make_shared<op::RopeTable<B>>(b, tokens + 22, head, 10000.0);
  const auto positions = table(b, *index);
  return {
      {"linear",
       {x, random_dense(half, width, 4), random_dense(1, half, 5)},
       [](Tape<B>& t, const Vars& v) { return op::linear(t, v[0], v[1], v[2]); }},
      {"add", {x, z}, [](Tape<B>& t, const Vars& v) { return op::add(t, v[0], v[1], T(-0.75)); }},
      {"add_rows",
       {x, random_dense(tokens / 3, width, 6)},
       [](Tape<B>& t, const Vars& v) { return op::add_rows(t, v[0], v[1]); }},
      {"rms_norm",
       {x, row},
       [](Tape<B>& t, const Vars& v) { return op::rms_norm(t, v[0], v[1], 1e-5); }},
      {"layer_norm",
       {x, row, random_dense(1, width, 7)},
       [](Tape<B>& t, const Vars& v) { return op::layer_norm(t, v[0], v[1], v[2], 1e-5); }},
      {"gelu", {x}, [](Tape<B>& t, const Vars& v) { return op::gelu(t, v[0]); }},
      {"quick_gelu", {x}, [](Tape<B>& t, const Vars& v) { return op::quick_gelu(t, v[0]); }},
      {"swiglu", {x, z}, [](Tape<B>& t, const Vars& v) { return op::swiglu(t, v[0], v[1]); }},
      {"dropout",
       {x},
       [](Tape<B>& t, const Vars& v) { return op::dropout(t, v[0], 0.3, Random(5)); }},
      {"gather",
       {x},
       [index](Tape<B>& t, const Vars& v) {
         return op::gather(t, v[0], std::span<const std::int32_t>(*index), T(1.5));
       }},
      {"interleave",
       {x, z},
       [two](Tape<B>& t, const Vars& v) {
         return op::interleave(t, v[0], v[1], std::span<const std::int32_t>(*two));
       }},
      {"cross_entropy",
       {x},
       [targets](Tape<B>& t, const Vars& v) {
         return op::cross_entropy(t, v[0], std::span<const std::int32_t>(*targets));
       }},
      {"rope",
       {x},
       [rope, positions](Tape<B>& t, const Vars& v) {
         return op::rope(t, v[0], *rope, positions.get());
       }},
      {"attention",
       {x, z, random_dense(tokens, width, 8)},
       [sequences, shape = AttentionShape{width / head, width / head, head, true}](Tape<B>& t,
                                                                                   const Vars& v) {
         return op::attention(t, *sequences, shape, v[0], v[1], v[2]);
       }}};
}

template <Backend B>
Results optimiser(B& b) {
  ParameterSet<B> parameters(b);
  auto& p = parameters.add("w", 9, 70);
  write(b, p.value, random_dense(9, 70, 1));
  parameters.set_trainable(p, true);
  AdamW<B> adam(parameters, {.weight_decay = 0.1});
  Results results;
  for (std::uint64_t step = 0; step < 3; ++step) {
    write(b, p.grad, random_dense(9, 70, 2 + step));
    p.has_grad = true;
    const double norm = gradient_norm(parameters);
    adam.step(0.01, 1 / norm);
    results.push_back(Dense(1, 1, {norm}));
    results.push_back(read(b, p.value));
  }
  return results;
}

/// Two tasks in turn through one adapted linear layer: its value, the activity of its branches and
/// all gradients.
template <Backend B>
Results adapter_of(B& b, const Method<B>& method) {
  ParameterSet<B> parameters(b);
  AdaptedLinear<B> linear(parameters, "layer", 20, 17);
  linear.base().initialize(Random(3));
  linear.base().freeze();
  linear.attach(method, Hyper{.alpha = 6.0, .balance_weight = 0.7}, Random(4));
  Sequences sequences;
  for (const Index length : {3, 1, 70, 5}) sequences.push(length);
  std::vector<std::int32_t> tasks(4, 0);
  linear.adapter()->begin_task(0);
  if (method.per_task_router) {
    linear.adapter()->end_task();
    linear.adapter()->begin_task(1);
    tasks = {0, 1, 0, 1};
  }
  auto& x = parameters.add("x", sequences.tokens(), 20);
  std::uint64_t stream = 50;
  for (auto& p : parameters) {
    if (&p == &x || p.name.starts_with("layer.lora") || p.name.starts_with("layer.router")) {
      write(b, p.value, random_dense(p.value.rows, p.value.cols, ++stream, 0.5));
      parameters.set_trainable(p, true);
    }
  }
  Tape<B> tape(b);
  const RoutingContext routing{.sequences = &sequences, .tasks = tasks, .observe = true};
  const auto y = linear(tape, tape.parameter(x), routing);
  Results results{read(b, y.value())};
  const auto weights = tape.scratch(1, y.value().size());
  write(b, weights, random_dense(1, y.value().size(), 90));
  tape.backward(
      op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(weights)));
  for (auto& p : parameters) {
    if (p.has_grad) results.push_back(read(b, p.grad));
  }
  const std::vector<double> activity = linear.adapter()->activity();
  results.emplace_back(1, std::ssize(activity), activity);
  return results;
}

/// That for variant `V`.
template <class V, Backend B>
Results adapter(B& b) {
  return adapter_of(b, method_of<B, V>());
}

}  // namespace cases

/// The operations and the optimiser: two uses of an operation, a sum over 18 x 24 elements and one
/// more over 24.
template <Backend B>
std::vector<Case<B>> operation_cases() {
  std::vector<Case<B>> all;
  B b;
  const auto operations = cases::operations(b);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    all.push_back({operations[i].name, 18 * 24 * 4, [i](B& backend) {
                     const auto each = cases::operations(backend)[i];
                     return cases::operation(backend, each.inputs, each.apply);
                   }});
  }
  all.push_back({"AdamW", 630, cases::optimiser<B>});
  return all;
}

/// The variants that differ in what runs on the device: sums over 79 tokens, after sums over 20
/// inputs.
template <Backend B>
std::vector<Case<B>> adapter_cases() {
  constexpr double depth = 79 * 20;
  return {
      {"LoRA", depth, cases::adapter<Lora<4>, B>},
      {"MoELoRA", depth, cases::adapter<MoeLora<3, 4>, B>},
      {"HydraLoRA", depth, cases::adapter<HydraLora<3, 4>, B>},
      {"BranchLoRA", depth, cases::adapter<BranchLora<3, 4, 2>, B>},
      {"shared trunk", depth, cases::adapter<MoeLora<3, 4>::with<trunk::Shared>, B>},
      {"sparse", depth, cases::adapter<MoeLora<3, 4>::with<TopK<2>>, B>},
      {"softmax first", depth,
       cases::adapter<MoeLora<3, 4>::with<TopK<2>, gating::SoftmaxThenTopK>, B>},
      {"mean token", depth,
       cases::adapter<HydraLora<3, 4>::with<router::Linear<per::MeanToken>>, B>},
      {"router of a task for each token", depth,
       cases::adapter<BranchLora<3, 4, 2>::with<router::PerTask<router::Linear<per::Token>>>, B>},
      {"trunks of branches", depth, cases::adapter<BranchLora<3, 4, 2>::with<trunk::Separate>, B>},
      {"balanced", depth, cases::adapter<MoeLora<3, 4>::with<TopK<2>, balance::Switch>, B>}};
}

}  // namespace branchlora::test
