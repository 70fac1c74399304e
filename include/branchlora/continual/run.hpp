/// @file
/// The continual run: tasks one after another, all of it on one screen.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/continual/base.hpp"
#include "branchlora/continual/evaluate.hpp"
#include "branchlora/continual/options.hpp"
#include "branchlora/continual/pick.hpp"
#include "branchlora/continual/run_config.hpp"
#include "branchlora/continual/run_result.hpp"
#include "branchlora/continual/selection.hpp"
#include "branchlora/continual/snapshot.hpp"
#include "branchlora/continual/start_adapters.hpp"
#include "branchlora/continual/strategy.hpp"
#include "branchlora/continual/task_data.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/data/sampler.hpp"
#include "branchlora/optim/adamw.hpp"
#include "branchlora/optim/schedule.hpp"
#include "branchlora/parallel/communicator.hpp"
#include "branchlora/parallel/gradients.hpp"

namespace branchlora::continual {

/// Hears of a run's progress: how many steps were done since the last call, and on what.
using Listener = std::function<void(Index steps, const std::string& what)>;

/// The step at which each stage ends: the sums of the shares, rounded.
std::vector<Index> stage_ends(const std::vector<double>& shares, Index steps);

namespace detail {

/// What a run's record says of how it was made.
RunConfig config_of_run(const Options& options, const std::string& variant,
                        const std::string& base);

/// Adds what strategies a run had, and the most bytes that each has held.
void add_strategies(RunConfig& config, const std::vector<RunConfig>& strategies,
                    const std::vector<Index>& held_bytes);

/// Adds how many samples a start saw, as `start_samples`.
void add_start(RunConfig& config, Index samples);

/// The text of `continual::run_identity`.
std::string run_identity(const std::string& base, const std::vector<std::string>& tasks,
                         const std::string& name, const Options& options,
                         const std::vector<RunConfig>& strategies);

}  // namespace detail

/// The parts of one training run, from its first task to its last.
template <Backend B>
struct Learner {
  /// The base model with a method's adapters, and the strategies of the loop.
  Learner(B& backend, const Base& base_, const Method<B>& method_, const Options& options_,
          const Listener& listener_, const std::vector<StrategyFactory<B>>& factories = {})
      : base(base_),
        method(method_),
        options(options_),
        listener(listener_),
        random(options_.seed),
        model(backend, base.config),
        tape(backend),
        strategies(make_strategies(backend, factories)) {
    base.load(model);
    model.freeze_base(options.storage, options.projector_rate,
                      method.reads_weight ? nn::Unpacked::keep : nn::Unpacked::release);
    model.attach(method, options.hyper, random.fork("adapter"));
    if (options.recompute) model.decoder().set_recompute(model::Recompute::block);
  }

  const Base& base;
  const Method<B>& method;
  const Options& options;
  const Listener& listener;
  Random random;
  model::Multimodal<B> model;
  Tape<B> tape;
  Strategies<B> strategies;
};

/// Throws `Error` if a parameter that was trained is not finite.
template <Backend B>
void expect_finite(const ParameterSet<B>& parameters, const std::string& task) {
  for (const auto& p : parameters) {
    if (!p.trainable) continue;
    const double size =
        parameters.backend().sum(p.value.size(), [w = p.value.data] BRANCHLORA_BODY(Index i) {
          return std::abs(static_cast<double>(w[i]));
        });
    expect(std::isfinite(size), "{}: after the last step, {} is not finite", task, p.name);
  }
}

/// The wall time of f() in seconds.
template <class F>
double seconds_of(F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Trains `steps` steps on a split, called `task`, in the method's stages. The schedule and AdamW's
/// moments start anew with each stage, as they do where each is a training job of its own. Throws
/// `Error` on a gradient or, in the end, a parameter that is not finite.
///
/// With several `ranks`, whose learners are alike, each has a share of every batch, and the
/// gradients are summed before strategies add theirs. The loss is the mean over the tokens of the
/// whole batch; losses that adapters and strategies take over a batch are over a rank's share, and
/// weigh as much as its tokens.
template <Backend B, parallel::Communicator C = parallel::SingleProcess>
void train(Learner<B>& learner, const Split<B>& split, const std::string& task, Index steps,
           const Random& random, const C& ranks = C{}) {
  auto& model = learner.model;
  auto& tape = learner.tape;
  const Options& o = learner.options;
  data::BatchSampler sampler(split.size(), o.batch, random.fork("order"));
  const std::vector<Index> ends = stage_ends(learner.method.stages, steps);
  parallel::expect_alike(model.parameters(), ranks);
  parallel::GradientSum<B, C> sum_gradients(model.parameters(), ranks);
  Index step = 0;
  for (std::size_t stage = 0; stage < ends.size(); ++stage) {
    model.for_each_adapter([&](auto& a) { a.begin_stage(static_cast<Index>(stage)); });
    AdamW<B> optimizer(model.parameters(), {.beta2 = o.beta2});
    const Index first = step;
    const WarmupCosine rate{o.rate, ends[stage] - first, o.warmup};
    for (; step < ends[stage]; ++step) {
      tape.reset();
      std::vector<Pick<B>> all = pick(split, sampler.batch(step));
      for (auto& s : learner.strategies) s->choose(all, step);
      TrainingStep<B> now{parallel::share_of(all, ranks), {}, {}};
      now.batch = make_batch(now.samples);
      Random dropout = random.fork("dropout").fork(static_cast<std::uint64_t>(step));
      if (ranks.rank() > 0) dropout = dropout.fork(static_cast<std::uint64_t>(ranks.rank()));
      const RoutingContext routing{.sequences = &now.batch.sequences,
                                   .tasks = now.batch.tasks,
                                   .dropout = &dropout,
                                   .supervise = true};
      now.logits = model.logits(tape, now.batch, gather_features(tape, now.samples), routing);
      auto loss = op::cross_entropy(tape, now.logits, now.batch.targets);
      for (auto& s : learner.strategies) loss = s->add_loss(tape, now, loss);
      tape.backward(loss, static_cast<typename B::Scalar>(loss_weight(now.samples, all)));
      sum_gradients();
      for (auto& s : learner.strategies) s->change_gradient(tape, model);
      const double norm = gradient_norm(model.parameters());
      expect(std::isfinite(norm), "{}: the gradient of step {} is {}; learning rate {}", task, step,
             norm, rate(step - first));
      optimizer.step(rate(step - first), clip_factor(norm, o.clip));
      if (learner.listener && ((step + 1) % 10 == 0 || step + 1 == steps)) {
        learner.listener(step % 10 + 1, task);
      }
    }
  }
  expect_finite(model.parameters(), task);
}

/// Lets the adapters see training samples again, without learning, and count which branches they
/// use.
template <Backend B>
void observe(Learner<B>& learner, const Split<B>& split) {
  auto& tape = learner.tape;
  const Index batch_size = learner.options.batch;
  tape.set_recording(false);
  for (Index first = 0; first < std::min(learner.options.observed, split.size());
       first += batch_size) {
    tape.reset();
    std::vector<Pick<B>> picks;
    for (Index i = first; i < std::min(first + batch_size, split.size()); ++i) {
      picks.push_back({&split, i});
    }
    const model::Batch batch = make_batch(picks);
    const RoutingContext routing{
        .sequences = &batch.sequences, .tasks = batch.tasks, .observe = true};
    learner.model.hidden(tape, batch, gather_features(tape, picks), routing);
  }
  tape.set_recording(true);
}

/// The record of a finished run but for its scores: what was learned, by what, in which time.
template <Backend B>
RunResult record_of(const Learner<B>& learner, std::span<const TaskData<B>> tasks,
                    const std::string& name, double seconds) {
  const Options& o = learner.options;
  RunResult result;
  result.method = name;
  result.seed = o.seed;
  result.protocol = "Domain-IL";
  result.config = detail::config_of_run(o, learner.method.description, learner.base.digest);
  const init::Needs& needs = learner.method.needs;
  if (needs.inputs || needs.gradient) detail::add_start(result.config, o.start_samples);
  result.R = empty_accuracy_matrix(tasks.size());
  for (const TaskData<B>& task : tasks) {
    result.tasks.push_back(task.info.name);
    result.stage_steps.push_back(o.steps);
  }
  result.train_seconds = seconds;
  result.step_ms = 1e3 * seconds / static_cast<double>(o.steps * std::ssize(tasks));
  for (const auto& p : learner.model.parameters()) {
    const bool base = p.name.starts_with("projector.") && o.projector_rate <= 0;
    if (p.constant || base || !detail::is_learned(p)) continue;
    result.trainable += p.value.size();
    if (p.name.find(".router") != std::string::npos) result.router += p.value.size();
  }
  return result;
}

/// What tells a run from every other: a snapshot goes on under the same text alone. JSON, so that a
/// program that reads a snapshot learns how it was made.
template <Backend B>
std::string run_identity(const Base& base, std::span<const TaskData<B>> tasks,
                         const std::string& name, const Options& o,
                         const Strategies<B>& strategies = {}) {
  std::vector<std::string> names;
  for (const TaskData<B>& task : tasks) names.push_back(task.info.name);
  return detail::run_identity(base.digest, names, name, o, config_of(strategies));
}

/// Starts the branches of task `t`, which has begun, where a method starts them at those of an
/// earlier task. Which task is nearest says the first selector.
template <Backend B>
void start_branches(Learner<B>& learner, const Progressed& done, Index t, const Split<B>& split) {
  const StartAt at = learner.method.branch_start;
  if (at == StartAt::fresh || t == 0) return;
  const Index earlier = at == StartAt::latest
                            ? t - 1
                            : most_selected(*done.selectors.front().selector, split.embeddings);
  learner.model.for_each_adapter([&](auto& adapter) { adapter.start_branch_at(earlier); });
}

/// Scores tasks 0 to `scored` after task t was learned: adds a row to the record of progress.
template <Backend B>
void score_tasks(Learner<B>& learner, std::span<const TaskData<B>> tasks, Index t, Index scored,
                 Progressed& done) {
  done.scores.emplace_back();
  for (Selected& s : done.selectors) {
    s.scores.emplace_back();
    s.accuracy = 0;
  }
  for (Index j = 0; j < scored; ++j) {
    const TaskData<B>& other = tasks[static_cast<std::size_t>(j)];
    if (learner.listener) {
      const std::string& learned = tasks[static_cast<std::size_t>(t)].info.name;
      learner.listener(0, fmt::format("{}, scoring {}", learned, other.info.name));
    }
    // A task that has not been learned has no router of its own: it takes the latest.
    score_task(other.test, j, std::min(j, t), tasks.size(), done, [&](const TaskChoice& choice) {
      return evaluate(learner.model, learner.tape, other.test, other.info.scorer,
                      *learner.base.language, learner.options, choice)
          .score;
    });
  }
}

/// Learns `tasks` one after another with a method's adapters on the base model, and after each
/// scores the tasks so far and the next (all of them with `Options::full_matrix`); `name` titles
/// its row. `strategies` act against forgetting. Returns the run's record or, where selectors pick
/// the router, one of the same training for each of them and a last one with the true task given.
///
/// With a `snapshot` path the state is kept after each task, and a run that finds its own goes on
/// from there, to the same bits. Several `ranks` train as one (see `train`), and each scores
/// everything; the first writes the snapshot.
template <Backend B, parallel::Communicator C = parallel::SingleProcess>
std::vector<RunResult> run_stream(B& backend, const Base& base, std::span<const TaskData<B>> tasks,
                                  const Method<B>& method, const std::string& name,
                                  const Options& o, const std::filesystem::path& snapshot = {},
                                  const Listener& listener = {},
                                  const std::vector<StrategyFactory<B>>& strategies = {},
                                  const C& ranks = C{}) {
  Learner<B> learner(backend, base, method, o, listener, strategies);
  auto& model = learner.model;
  Progressed done(method);
  done.strategy_bytes.resize(strategies.size());
  const std::string identity = run_identity(base, tasks, name, o, learner.strategies);
  if (!snapshot.empty() && std::filesystem::exists(snapshot)) {
    done = load_snapshot(snapshot, model, method, identity, learner.strategies);
    if (listener) listener(done.tasks_done * o.steps, name);
  }

  for (Index t = done.tasks_done; t < std::ssize(tasks); ++t) {
    const TaskData<B>& task = tasks[static_cast<std::size_t>(t)];
    const Lesson<B> lesson{model, learner.tape, tasks.first(static_cast<std::size_t>(t + 1)), o,
                           learner.random.fork(static_cast<std::uint64_t>(t))};
    done.stage_seconds.push_back(seconds_of([&] {
      for (auto& s : learner.strategies) s->begin_task(lesson);
      model.for_each_adapter([&](auto& adapter) { adapter.begin_task(t); });
      start_branches(learner, done, t, task.train);
      start_adapters(model, learner.tape, task.train, o);
      train(learner, task.train, task.info.name, o.steps, lesson.random, ranks);
      for (auto& s : learner.strategies) s->end_task(lesson);
    }));
    for (std::size_t i = 0; i < strategies.size(); ++i) {
      done.strategy_bytes[i] = std::max(done.strategy_bytes[i], learner.strategies[i]->bytes());
    }
    add_task(done, t, task.train);
    if (method.freezes) observe(learner, task.train);
    model.for_each_adapter([](auto& adapter) { adapter.end_task(); });

    // Metrics look at the tasks so far and at the next.
    const Index scored = o.full_matrix ? std::ssize(tasks) : std::min(t + 2, std::ssize(tasks));
    score_tasks(learner, tasks, t, scored, done);
    done.tasks_done = t + 1;
    if (!snapshot.empty() && ranks.rank() == 0) {
      save_snapshot(snapshot, model, method, done, identity, learner.strategies);
    }
  }

  const double seconds = std::accumulate(done.stage_seconds.begin(), done.stage_seconds.end(), 0.0);
  RunResult result = record_of(learner, tasks, name, seconds);
  detail::add_strategies(result.config, config_of(learner.strategies), done.strategy_bytes);
  result.stage_seconds = done.stage_seconds;
  return scored_records(method, done, result);
}

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/run-inl.hpp"
#endif
