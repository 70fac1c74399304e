/// @file
/// The operations of the tape, the optimiser and the adapters, run by every backend and compared.
#pragma once

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

template <Backend B>
Results operations(B& b) {
  using T = typename B::Scalar;
  using Vars = std::vector<Var<T>>;
  Results all;
  const auto run = [&](const Results& inputs, auto apply) {
    for (Dense& m : operation(b, inputs, apply)) all.push_back(std::move(m));
  };
  const Dense x = random_dense(18, 24, 1);
  const Dense z = random_dense(18, 24, 2);
  const Dense row = random_dense(1, 24, 3);
  run({x, random_dense(9, 24, 4), random_dense(1, 9, 5)},
      [](Tape<B>& t, const Vars& v) { return op::linear(t, v[0], v[1], v[2]); });
  run({x, z}, [](Tape<B>& t, const Vars& v) { return op::add(t, v[0], v[1], T(-0.75)); });
  run({x, random_dense(6, 24, 6)},
      [](Tape<B>& t, const Vars& v) { return op::add_rows(t, v[0], v[1]); });
  run({x, row}, [](Tape<B>& t, const Vars& v) { return op::rms_norm(t, v[0], v[1], 1e-5); });
  run({x, row, random_dense(1, 24, 7)},
      [](Tape<B>& t, const Vars& v) { return op::layer_norm(t, v[0], v[1], v[2], 1e-5); });
  run({x}, [](Tape<B>& t, const Vars& v) { return op::gelu(t, v[0]); });
  run({x}, [](Tape<B>& t, const Vars& v) { return op::quick_gelu(t, v[0]); });
  run({x, z}, [](Tape<B>& t, const Vars& v) { return op::swiglu(t, v[0], v[1]); });
  run({x}, [](Tape<B>& t, const Vars& v) { return op::dropout(t, v[0], 0.3, Random(5)); });
  std::vector<std::int32_t> index;
  std::vector<std::int32_t> two;
  std::vector<std::int32_t> targets;
  for (std::int32_t i = 0; i < 30; ++i) {
    index.push_back(i * 7 % 18);
    two.push_back(i % 3 == 0 ? -1 - i % 18 : i % 18);
    if (i < 18) targets.push_back(i % 5 == 0 ? op::ignored : i);
  }
  run({x}, [&](Tape<B>& t, const Vars& v) {
    return op::gather(t, v[0], std::span<const std::int32_t>(index), T(1.5));
  });
  run({x, z}, [&](Tape<B>& t, const Vars& v) {
    return op::interleave(t, v[0], v[1], std::span<const std::int32_t>(two));
  });
  run({x}, [&](Tape<B>& t, const Vars& v) {
    return op::cross_entropy(t, v[0], std::span<const std::int32_t>(targets));
  });
  const op::RopeTable<B> rope(b, 40, 6, 10000.0);
  const auto positions = table(b, index);
  run({x}, [&](Tape<B>& t, const Vars& v) { return op::rope(t, v[0], rope, positions.get()); });
  Sequences sequences;
  sequences.push(7, {5, 3});
  sequences.push(3);
  run({x, z, random_dense(18, 24, 8)}, [&](Tape<B>& t, const Vars& v) {
    return op::attention(t, sequences, {4, 4, 6, true}, v[0], v[1], v[2]);
  });
  return all;
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
template <class V, Backend B>
Results adapter(B& b) {
  ParameterSet<B> parameters(b);
  AdaptedLinear<B> linear(parameters, "layer", 20, 17);
  linear.base().initialize(Random(3));
  linear.base().freeze();
  linear.attach(method_of<B, V>(), Hyper{.alpha = 6.0, .balance_weight = 0.7}, Random(4));
  Sequences sequences;
  for (const Index length : {3, 1, 70, 5}) sequences.push(length);
  std::vector<std::int32_t> tasks(4, 0);
  linear.adapter()->begin_task(0);
  if (V::per_task_router) {
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
  const Routing routing{.sequences = &sequences, .tasks = tasks, .observe = true};
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

}  // namespace cases

/// The operations and the optimiser: two uses of an operation, a sum over 18 x 24 elements and one
/// more over 24.
template <Backend B>
std::vector<Case<B>> operation_cases() {
  return {{"operations", 18 * 24 * 4, cases::operations<B>},
          {"optimiser", 630, cases::optimiser<B>}};
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
