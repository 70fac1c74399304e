/// @file
/// What a continual run does against forgetting, whatever its adapters: policies of the loop.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "branchlora/continual/options.hpp"
#include "branchlora/continual/pick.hpp"
#include "branchlora/continual/run_config.hpp"
#include "branchlora/continual/strategy_factory.hpp"
#include "branchlora/continual/task_data.hpp"
#include "branchlora/core/host_matrix.hpp"
#include "branchlora/model/multimodal.hpp"

namespace branchlora::continual {

/// A task that is being learned, and what is at hand. Everything referred to is the run's.
template <Backend B>
struct Lesson {
  model::Multimodal<B>& model;
  Tape<B>& tape;
  std::span<const TaskData<B>> tasks;  ///< Those so far; the last is the one that is learned.
  const Options& options;
  Random random;  ///< Of this task.

  /// The number of the task, from 0.
  Index number() const { return std::ssize(tasks) - 1; }
  /// The samples to learn from.
  const Split<B>& train() const { return tasks.back().train; }
};

/// A training step as strategies see it.
template <Backend B>
struct TrainingStep {
  std::vector<Pick<B>> samples;
  model::Batch batch;              ///< Of the samples.
  Var<typename B::Scalar> logits;  ///< Of the rows that predict, `batch.rows`.
};

/// What a strategy keeps from task to task, by name.
template <class T>
using StrategyState = HostMatrices<T>;

/// A policy of the training loop. The loop calls the hooks of its strategies in their order at the
/// moments that the hooks name; each does nothing unless it is overridden.
template <Backend B>
class Strategy {
 public:
  using T = typename B::Scalar;

  Strategy() = default;
  Strategy(const Strategy&) = delete;
  Strategy& operator=(const Strategy&) = delete;
  virtual ~Strategy() = default;

  /// The name and every hyper-parameter: for the record of a run, and to tell runs apart.
  virtual RunConfig config() const = 0;

  /// Before the adapters begin a task: the model is still that of the tasks before.
  virtual void begin_task(const Lesson<B>& /*lesson*/) {}
  /// Before a step's batch is made: may put other samples in the place of some.
  virtual void choose(std::vector<Pick<B>>& /*samples*/, Index /*step*/) {}
  /// Before the backward pass: returns the loss (1 x 1) with its own term added.
  virtual Var<T> add_loss(Tape<B>& /*tape*/, const TrainingStep<B>& /*step*/, Var<T> loss) {
    return loss;
  }
  /// After the backward pass and before clipping: may add to the gradients of trainable
  /// parameters, or replace them.
  virtual void change_gradient(Tape<B>& /*tape*/, model::Multimodal<B>& /*model*/) {}
  /// Before the adapters end a task: what was trained is still trainable.
  virtual void end_task(const Lesson<B>& /*lesson*/) {}

  /// The memory in bytes that it holds now beside the model's.
  virtual Index bytes() const { return 0; }
  /// What a run that was killed needs to go on to the same bits, beside the model.
  virtual StrategyState<T> state() const { return {}; }
  /// Restores what `state` gave.
  virtual void restore(const StrategyState<T>& /*state*/) {}
};

/// The strategies of a run.
template <Backend B>
using Strategies = std::vector<std::unique_ptr<Strategy<B>>>;

/// Makes the strategies of a run.
template <Backend B>
Strategies<B> make_strategies(B& backend, const std::vector<StrategyFactory<B>>& factories) {
  Strategies<B> strategies;
  for (const auto& make : factories) strategies.push_back(make(backend));
  return strategies;
}

/// The names and hyper-parameters of strategies, in their order.
template <Backend B>
std::vector<RunConfig> config_of(const Strategies<B>& strategies) {
  std::vector<RunConfig> list;
  for (const auto& s : strategies) list.push_back(s->config());
  return list;
}

/// Makes sure that a parameter has a gradient in this step to add to: zero if it got none.
template <Backend B>
void open_gradient(B& backend, Parameter<typename B::Scalar>& p) {
  if (!p.has_grad) backend.fill(p.grad, typename B::Scalar(0));
  p.has_grad = true;
}

}  // namespace branchlora::continual
