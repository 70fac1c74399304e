/// @file
/// What a stream is measured against: no training at all, each task alone, all tasks jointly.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/continual/run.hpp"
#include "branchlora/core/error.hpp"

namespace branchlora::continual {

/// The scores of the base model on every task's test split.
template <Backend B>
std::vector<double> zero_shot(B& backend, const Base& base, std::span<const TaskData<B>> tasks,
                              const Options& o) {
  model::Multimodal<B> model(backend, base.config);
  base.load(model);
  model.freeze_base(o.storage, 0.0, nn::Unpacked::release);
  Tape<B> tape(backend);
  std::vector<double> scores;
  for (const TaskData<B>& task : tasks) {
    scores.push_back(
        evaluate(model, tape, task.test, task.info.scorer, *base.language, o, [](Index) {
          return Index{0};
        }).score);
  }
  return scores;
}

/// The base model as a row of a table: it ends where it begins.
RunResult zero_shot_result(const std::vector<double>& scores, const std::vector<std::string>& tasks,
                           const Options& o);

/// Trains a method's adapters on each task by itself, from the base each time. The last row of R
/// holds what each task reaches if there is no other, answered by its own model: Task-IL. Several
/// `ranks` train as one (see `train`). Throws `Error` for a method that keeps routers or branches
/// for tasks, such as BranchLoRA, MTL-LoRA, MeteoRA or MoA: of one task there is nothing to choose.
template <Backend B, parallel::Communicator C = parallel::SingleProcess>
RunResult run_alone(B& backend, const Base& base, std::span<const TaskData<B>> tasks,
                    const Method<B>& method, const std::string& name, const Options& o,
                    const Listener& listener = {}, const C& ranks = C{}) {
  expect(!method.per_task_router && !method.has_bank,
         "{}: keeps {} for each task, so it means nothing on each task alone: run it on the stream",
         name, method.has_bank ? "a branch" : "a router");
  RunResult result;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const RunResult one =
        run_stream(backend, base, tasks.subspan(t, 1), method, name, o, {}, listener, {}, ranks)
            .front();
    if (t == 0) {
      result = one;
      result.protocol = "Task-IL";
      result.tasks.clear();
      result.stage_steps.clear();
      result.stage_seconds.clear();
      result.train_seconds = 0;
      result.R = empty_accuracy_matrix(tasks.size());
    }
    result.tasks.push_back(tasks[t].info.name);
    result.stage_steps.push_back(o.steps);
    result.stage_seconds.push_back(one.train_seconds);
    result.train_seconds += one.train_seconds;
    result.R(tasks.size() - 1, t) = one.R(0, 0);
  }
  result.step_ms = 1e3 * result.train_seconds / static_cast<double>(o.steps * std::ssize(tasks));
  return result;
}

/// The training samples of all tasks as one split.
template <Backend B>
Split<B> join(B& backend, std::span<const TaskData<B>> tasks) {
  Split<B> all;
  Index images = 0;
  for (const TaskData<B>& task : tasks) images += task.train.bank.all().rows;
  const auto& first = tasks.front().train.bank;
  all.bank = {std::make_shared<const Buffer<B>>(backend, images, first.all().cols), first.tokens};
  Index row = 0;
  for (const TaskData<B>& task : tasks) {
    const auto features = task.train.bank.all();
    backend.copy(features, all.bank.all().middle_rows(row, features.rows));
    for (model::Example e : task.train.examples) {
      if (e.image >= 0) e.image += row / first.tokens;
      all.examples.push_back(std::move(e));
    }
    all.samples.insert(all.samples.end(), task.train.samples.begin(), task.train.samples.end());
    row += features.rows;
  }
  return all;
}

/// Trains a method's adapters on all tasks' samples mixed, with as many steps as the stream has in
/// all: the upper bound of a method that forgets nothing. Every sample is trained as one of its
/// task. Several `ranks` train as one (see `train`). Returns records as `run_stream` does.
template <Backend B, parallel::Communicator C = parallel::SingleProcess>
std::vector<RunResult> run_joint(B& backend, const Base& base, std::span<const TaskData<B>> tasks,
                                 const Method<B>& method, const std::string& name, const Options& o,
                                 const Listener& listener = {}, const C& ranks = C{}) {
  Learner<B> learner(backend, base, method, o, listener);
  const Index count = std::ssize(tasks);
  Progressed done(method);
  for (Index t = 0; t < count; ++t) {
    learner.model.for_each_adapter([&](auto& adapter) { adapter.begin_task(t); });
    add_task(done, t, tasks[static_cast<std::size_t>(t)].train);
  }
  const Split<B> all = join(backend, tasks);
  const double seconds = seconds_of([&] {
    start_adapters(learner.model, learner.tape, all, o);
    train(learner, all, "all tasks", o.steps * count, learner.random, ranks);
  });
  done.scores.resize(tasks.size() - 1);  // nothing is scored before the end
  for (Selected& s : done.selectors) s.scores = done.scores;
  score_tasks(learner, tasks, count - 1, count, done);
  return scored_records(method, done, record_of(learner, tasks, name, seconds));
}

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/joint-inl.hpp"
#endif
