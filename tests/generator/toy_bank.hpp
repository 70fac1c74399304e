/// @file
/// A bank of two made-up tasks, small enough to learn in a moment.
#pragma once

#include <string>
#include <vector>

#include "branchlora/generator/train_cvae.hpp"

namespace branchlora::test {

inline constexpr Index toy_snapshots = 3;  ///< Of each task.

/// Checkpoint `k` of a task: normal tensors of the task (of odd means and deviations), and a tenth
/// of that as noise of the checkpoint.
inline generator::Weights toy_weights(Index task, Index k) {
  const Random random(42);
  generator::Weights weights;
  const auto add = [&](const std::string& name, std::vector<Index> shape, double mean,
                       double deviation) {
    const Random own = random.fork(name).fork(static_cast<std::uint64_t>(task));
    const Random noise = own.fork(static_cast<std::uint64_t>(k));
    generator::NamedTensor t{name, shape, {}};
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(shape[0] * shape[1]); ++i) {
      t.values.push_back(
          static_cast<float>(mean + deviation * (own.normal(i) + 0.1 * noise.normal(i))));
    }
    weights.push_back(std::move(t));
  };
  // Not in alphabetical order, which the bank has to bring about.
  add("q.lora_B", {2, 10}, -0.5, 0.02);
  add("q.lora_A", {2, 11}, 3.0, 0.7);
  return weights;
}

inline generator::CheckpointBank toy_bank() {
  generator::CheckpointBank bank;
  for (Index task = 0; task < 2; ++task) {
    for (Index k = 0; k < toy_snapshots; ++k) bank.add(task, toy_weights(task, k));
  }
  return bank;
}

/// 42 elements, padded to 48; six steps of four channels after three stages.
inline generator::CvaeConfig toy_config() {
  return {.length = 42, .condition = 3, .latent = 4, .channels = {4, 6, 4}};
}

inline std::vector<std::vector<double>> toy_vectors() { return {{1, 0, 0.5}, {0, -1, 0.5}}; }

}  // namespace branchlora::test
