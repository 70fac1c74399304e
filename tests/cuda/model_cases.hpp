/// @file
/// A whole model, run by every backend and compared.
#pragma once

#include <span>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/model/generate.hpp"
#include "branchlora/optim/adamw.hpp"
#include "cuda/cases.hpp"
#include "model/tiny_config.hpp"

namespace branchlora::test {
namespace cases {

/// A multimodal model with adapters of a method that is small enough for every test.
template <Backend B>
struct TinyModelOf {
  using T = typename B::Scalar;

  TinyModelOf(B& b, const Method<B>& method);

  /// The loss of the batch, its gradients left in the parameters.
  T step(std::uint64_t number);

  model::Multimodal<B> net;
  Tape<B> tape;
  model::FeatureBank<B> bank;
  model::Batch batch, questions;
};

template <Backend B>
TinyModelOf<B>::TinyModelOf(B& b, const Method<B>& method) : net(b, tiny_config()), tape(b) {
  net.initialize(Random(1));
  net.attach(method, Hyper{.alpha = 6.0, .dropout = 0.1}, Random(5));
  net.for_each_adapter([](auto& each) { each.begin_task(0); });
  net.freeze_base(Storage::full, 0.5);
  for (auto& p : net.parameters()) {
    if (p.name.find(".lora_B") != std::string::npos) {
      write(b, p.value, random_dense(p.value.rows, p.value.cols, p.name.size(), 0.5));
    }
  }
  bank = net.features_of(tape, 2, [](Index i) {
    std::vector<float> rgb(8 * 8 * 3);
    for (std::size_t j = 0; j < rgb.size(); ++j) {
      rgb[j] = static_cast<float>(Random(7, static_cast<std::uint64_t>(i)).below(j, 256));
    }
    return rgb;
  });
  for (const auto& e : std::vector<model::Example>{{0, 0, {{{1, 4, 5}, {6, 2}}, {{3}, {8, 2}}}},
                                                   {1, 0, {{{1, 9, 3}, {7, 7, 2}}}}}) {
    batch.push(e, net.config().vision.tokens());
    questions.push(model::Example{e.image, e.task, {{e.turns.front().prompt, {}}}},
                   net.config().vision.tokens());
  }
}

template <Backend B>
typename B::Scalar TinyModelOf<B>::step(std::uint64_t number) {
  tape.reset();
  const Random dropout(number);
  const RoutingContext routing{
      .sequences = &batch.sequences, .tasks = batch.tasks, .dropout = &dropout};
  const auto loss = net.loss(tape, batch, net.gather(tape, batch, bank), routing);
  tape.backward(loss);
  T value = 0;
  net.parameters().backend().download(&value, loss.value().data, sizeof(T));
  return value;
}

/// The same with adapters of variant `V`.
template <class V, Backend B>
struct TinyModel : TinyModelOf<B> {
  explicit TinyModel(B& b) : TinyModelOf<B>(b, method_of<B, V>()) {}
};

/// The loss of a multimodal model with adapters and all its gradients; how it learns in three
/// steps; and what it answers then.
template <Backend B>
Results learn_and_answer(B& b, TinyModelOf<B>& tiny) {
  AdamW<B> adam(tiny.net.parameters());
  Results results;
  for (std::uint64_t step = 0; step < 3; ++step) {
    results.push_back(Dense(1, 1, {tiny.step(step)}));
    if (step == 0) {
      for (auto& p : tiny.net.parameters()) {
        if (p.has_grad) results.push_back(read(b, p.grad));
      }
    }
    adam.step(0.001);
  }
  const std::vector<std::int32_t> tasks(2, 0);
  for (const auto& answer : model::generate(tiny.net, tiny.tape, tiny.questions, tiny.bank,
                                            std::span<const std::int32_t>(tasks), 2, 5)) {
    results.emplace_back(1, std::ssize(answer), std::vector<double>(answer.begin(), answer.end()));
  }
  return results;
}

/// That for variant `V`.
template <class V, Backend B>
Results multimodal(B& b) {
  TinyModel<V, B> tiny(b);
  return learn_and_answer<B>(b, tiny);
}

}  // namespace cases

/// Models that learn. Adam divides by the root of a gradient's square: where that is next to zero,
/// a rounding of the gradient grows. The chain is as long as the model is deep.
template <Backend B>
std::vector<Case<B>> model_cases() {
  return {{"BranchLoRA", 1e6, cases::multimodal<BranchLora<3, 4, 2>, B>},
          {"balanced MoELoRA", 1e6,
           cases::multimodal<MoeLora<3, 4>::with<TopK<2>, balance::Switch>, B>}};
}

}  // namespace branchlora::test
