/// @file
/// A task as a vector: what a tuned model's last layer says of its samples.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/model/multimodal.hpp"

namespace branchlora::generator {

/// How a task vector is gathered.
struct TaskVectorOptions {
  Index samples = 30;  ///< Examples at most, from the front.
  Index batch = 16;    ///< Examples of a pass; has no influence beyond rounding.
};

/// ICM-LoRA's task vector: the mean, over examples and over the positions from which their answers'
/// tokens are predicted, of the last decoder layer's output (before the final norm), `width`
/// numbers. `model` is the one that was tuned on the task. The true answers take the place of
/// generated ones, so that one pass serves all positions. The tape is reset. Throws `Error` where
/// no position is left.
template <Backend B>
std::vector<double> task_vector(model::Multimodal<B>& model, Tape<B>& tape,
                                std::span<const model::Example> examples,
                                const model::FeatureBank<B>& bank,
                                const TaskVectorOptions& options = {}) {
  using T = typename B::Scalar;
  const auto count =
      static_cast<std::size_t>(std::min<Index>(std::ssize(examples), options.samples));
  expect(count > 0 && options.batch > 0,
         "task vector: expected examples and a batch, found {} examples and batches of {}", count,
         options.batch);
  const bool recording = tape.recording();
  tape.set_recording(false);
  std::vector<double> mean(static_cast<std::size_t>(model.config().decoder.width), 0.0);
  std::vector<T> row(mean.size());
  Index positions = 0;
  for (std::size_t first = 0; first < count; first += static_cast<std::size_t>(options.batch)) {
    model::Batch batch;
    for (const model::Example& e : examples.subspan(
             first, std::min(static_cast<std::size_t>(options.batch), count - first))) {
      batch.push(e, bank.tokens);
    }
    tape.reset();
    const RoutingContext routing{.sequences = &batch.sequences, .tasks = batch.tasks};
    const auto h = model.hidden(tape, batch, model.gather(tape, batch, bank), routing).value();
    for (const std::int32_t r : batch.rows) {
      tape.backend().download(row.data(), h.row(r), row.size() * sizeof(T));
      for (std::size_t c = 0; c < row.size(); ++c) mean[c] += static_cast<double>(row[c]);
    }
    positions += std::ssize(batch.rows);
  }
  tape.reset();
  tape.set_recording(recording);
  expect(positions > 0, "task vector: expected positions that predict a token, found none");
  for (double& x : mean) x /= static_cast<double>(positions);
  return mean;
}

}  // namespace branchlora::generator
