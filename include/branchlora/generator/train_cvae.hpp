/// @file
/// How a generator learns a bank of checkpoints.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/data/sampler.hpp"
#include "branchlora/generator/checkpoint_bank.hpp"
#include "branchlora/generator/cvae.hpp"
#include "branchlora/optim/adamw.hpp"
#include "branchlora/optim/schedule.hpp"

namespace branchlora::generator {

/// The numbers of a generator's training; rate, batch and weight are the authors'. They count 2000
/// epochs, these are steps.
struct CvaeTraining {
  Index steps = 2000;
  Index batch = 2;           ///< Checkpoints a step.
  double rate = 2e-4;        ///< Peak of the cosine, without warm-up.
  double kl_weight = 0.005;  ///< Factor of the divergence in the loss.
};

/// The loss of one step.
struct CvaeLoss {
  double total = 0;
  double reconstruction = 0;
  double divergence = 0;
};

/// The largest magnitude in some vectors.
double largest_magnitude(std::span<const std::vector<double>> vectors);

/// Trains with AdamW on the bank's checkpoints, each given the vector of its task
/// (`task_vectors[task]`), and returns every step's loss. The result depends on `random`, the bank
/// and the options alone. `listener(step, loss)` hears of each step. Throws `Error` where bank,
/// task vectors and generator do not fit, or a loss is not finite.
template <Backend B>
std::vector<CvaeLoss> train_cvae(Cvae<B>& cvae, Tape<B>& tape, const CheckpointBank& bank,
                                 std::span<const std::vector<double>> task_vectors,
                                 const CvaeTraining& options, const Random& random,
                                 const std::function<void(Index, const CvaeLoss&)>& listener = {}) {
  using T = typename B::Scalar;
  const CvaeConfig& config = cvae.config();
  expect(!bank.snapshots().empty(), "CVAE: expected a bank with checkpoints, found none");
  expect(bank.layout().size() == config.length,
         "CVAE: expected checkpoints of {} elements, found {}", config.length,
         bank.layout().size());
  for (const auto& snapshot : bank.snapshots()) {
    const auto task = static_cast<std::size_t>(snapshot.task);
    expect(task < task_vectors.size(), "CVAE: expected a task vector for task {}, found {} vectors",
           task, task_vectors.size());
    expect(std::ssize(task_vectors[task]) == config.condition,
           "CVAE: expected a vector of {} numbers for task {}, found {}", config.condition, task,
           task_vectors[task].size());
  }
  AdamW<B> optimizer(cvae.parameters());
  const WarmupCosine rate{options.rate, options.steps, 0.0};
  data::BatchSampler sampler(std::ssize(bank.snapshots()), options.batch, random.fork("order"));
  const auto matrix = [&](Index cols) {
    return std::vector<T>(static_cast<std::size_t>(options.batch * cols));
  };
  std::vector<T> x = matrix(config.padded());
  std::vector<T> c = matrix(config.condition);
  std::vector<T> noise = matrix(config.latent);
  std::vector<CvaeLoss> history;
  for (Index step = 0; step < options.steps; ++step) {
    Index row = 0;
    for (const Index i : sampler.batch(step)) {
      const auto& snapshot = bank.snapshots()[static_cast<std::size_t>(i)];
      const auto& condition = task_vectors[static_cast<std::size_t>(snapshot.task)];
      std::ranges::copy(snapshot.values, x.begin() + row * config.padded());
      std::ranges::transform(condition, c.begin() + row * config.condition,
                             [](double v) { return static_cast<T>(v); });
      ++row;
    }
    const Random own = random.fork("noise").fork(static_cast<std::uint64_t>(step));
    for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<T>(own.normal(i));

    tape.reset();
    const auto put = [&](const std::vector<T>& host, Index cols) {
      return MatrixView<T>(tape.upload(std::span<const T>(host)), options.batch, cols);
    };
    const auto loss = cvae.loss(tape, tape.constant(put(x, config.padded())),
                                tape.constant(put(c, config.condition)), put(noise, config.latent),
                                options.kl_weight);
    tape.backward(loss.total);
    optimizer.step(rate(step));

    const auto number = [&](Var<T> v) {
      T value;
      tape.backend().download(&value, v.value().data, sizeof(T));
      return static_cast<double>(value);
    };
    history.push_back({number(loss.total), number(loss.reconstruction), number(loss.divergence)});
    if (!std::isfinite(history.back().total)) {
      fail(
          "CVAE: the loss of step {} is {}; learning rate {}, task vectors of up to {} "
          "(the encoder exponentiates: large ones overflow)",
          step, history.back().total, rate(step), largest_magnitude(task_vectors));
    }
    if (listener) listener(step, history.back());
  }
  tape.reset();
  return history;
}

/// The adapter that the generator makes for a task: its output at `z` with the statistics of the
/// bank's newest checkpoint of that task. So what it saves of the bank is the weights, not the
/// statistics: a task without a checkpoint can not be served.
template <Backend B>
Weights generate_adapter(const Cvae<B>& cvae, Tape<B>& tape, const CheckpointBank& bank, Index task,
                         std::span<const double> task_vector, std::span<const double> z,
                         Denormalise how = Denormalise::matched) {
  using T = typename B::Scalar;
  const std::vector<T> flat = cvae.generate(tape, task_vector, z);
  return denormalise(bank.layout(), std::span<const T>(flat),
                     std::span<const Statistics>(bank.reference(task).statistics), how);
}

}  // namespace branchlora::generator

#ifndef BRANCHLORA_COMPILED
#include "branchlora/generator/train_cvae-inl.hpp"
#endif
