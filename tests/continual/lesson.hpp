/// @file
/// The tiny model in double and tasks to learn, for strategies whose hooks a test calls by hand.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "branchlora/adapter/method.hpp"
#include "branchlora/continual/strategy.hpp"
#include "model/tiny_model.hpp"

namespace branchlora::test {

/// The tiny model with adapters of `V` away from zero, its projector trainable, and three tasks of
/// five samples: with and without a picture, of one turn and of two, one without an answer.
template <class V>
struct Classroom {
  using B = eigen::Backend<double>;

  Classroom() {
    tiny.net.freeze_base(Storage::full, 1.0);
    tiny.net.attach(method_of<B, V>(), {.alpha = 4}, Random(1));
    for (std::int32_t t = 0; t < 3; ++t) {
      const auto a = static_cast<std::int32_t>(2 + t);
      continual::Split<B> train;
      train.bank = tiny.bank(3);
      train.examples = {{0, t, {{{1, a, 5}, {3, 2}}}},
                        {-1, t, {{{1, a}, {4}}}},
                        {2, t, {{{1, a, 7}, {9, 8, 2}}, {{1, 6}, {2}}}},
                        {1, t, {{{1, a, 8, 6}, {}}}},
                        {0, t, {{{1, 9}, {a, 2}}}}};
      train.samples.resize(train.examples.size());
      tasks.push_back({{}, std::move(train), {}});
      tasks.back().info.name = "task " + std::to_string(t);
    }
    begin_task(0);
    shake();
  }

  void begin_task(Index task) {
    tiny.net.for_each_adapter([&](auto& adapter) { adapter.begin_task(task); });
  }

  /// Moves everything that trains.
  void shake() {
    for (const char* part : {".lora_", ".router", "projector."}) tiny.randomise(part, 0.15);
  }

  continual::Lesson<B> lesson(std::size_t tasks_so_far) {
    return {tiny.net, tiny.tape, std::span(std::as_const(tasks)).first(tasks_so_far), options,
            Random(3).fork(tasks_so_far)};
  }

  /// The gradients that a strategy adds where there are none, by the names of the parameters.
  std::map<std::string, Dense> added(continual::Strategy<B>& strategy) {
    tiny.net.parameters().clear_gradients();
    tiny.tape.reset();
    strategy.change_gradient(tiny.tape, tiny.net);
    std::map<std::string, Dense> gradients;
    for (const auto& p : tiny.net.parameters()) {
      if (p.has_grad) gradients[p.name] = to_dense(p.grad);
    }
    tiny.net.parameters().clear_gradients();
    return gradients;
  }

  TinyModel<double> tiny;
  std::vector<continual::TaskData<B>> tasks;
  continual::Options options;
};

/// The strategy of some settings on the classroom's backend.
template <class V, class Settings>
auto strategy_of(Classroom<V>& room, const Settings& settings) {
  return std::make_unique<typename Settings::template On<eigen::Backend<double>>>(room.tiny.backend,
                                                                                  settings);
}

/// log softmax(row / temperature), by the definition.
inline std::vector<double> log_softmax(const Dense& logits, Index row, double temperature = 1) {
  double sum = 0;
  for (Index c = 0; c < logits.cols; ++c) sum += std::exp(logits(row, c) / temperature);
  std::vector<double> result;
  for (Index c = 0; c < logits.cols; ++c) {
    result.push_back(logits(row, c) / temperature - std::log(sum));
  }
  return result;
}

}  // namespace branchlora::test
