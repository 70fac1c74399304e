/// @file
/// The continual run: tasks one after another, all of it on one screen.
#pragma once

#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "branchlora/continual/evaluate.hpp"
#include "branchlora/continual/options.hpp"
#include "branchlora/continual/run_result.hpp"
#include "branchlora/continual/snapshot.hpp"
#include "branchlora/continual/task_data.hpp"
#include "branchlora/data/sampler.hpp"
#include "branchlora/optim/adamw.hpp"
#include "branchlora/optim/schedule.hpp"

namespace branchlora::continual {

/// Hears of a run's progress: how many steps were done since the last call, and on what.
using Listener = std::function<void(Index steps, const std::string& what)>;

/// The batch of the given examples of a split.
template <Backend B>
model::Batch make_batch(const Split<B>& split, std::span<const Index> chosen) {
  model::Batch batch;
  for (const Index i : chosen) {
    batch.push(split.examples[static_cast<std::size_t>(i)], split.bank.tokens);
  }
  return batch;
}

/// Trains one task's steps and returns the seconds that they took. The schedule and AdamW's moments
/// start anew, as they do where each task is a training job of its own. Throws `Error` on a gradient
/// that is not finite.
template <Backend B>
double train_task(model::Multimodal<B>& model, Tape<B>& tape, const Split<B>& split,
                  const std::string& task, Index steps, const Options& o, const Random& random,
                  const Listener& listener) {
  AdamW<B> optimizer(model.parameters(), {.beta2 = o.beta2});
  const WarmupCosine rate{o.rate, steps, o.warmup};
  data::BatchSampler sampler(split.size(), o.batch, random.fork("order"));
  const auto start = std::chrono::steady_clock::now();
  for (Index step = 0; step < steps; ++step) {
    tape.reset();
    const model::Batch batch = make_batch(split, sampler.batch(step));
    const Random dropout = random.fork("dropout").fork(static_cast<std::uint64_t>(step));
    const Routing routing{.sequences = &batch.sequences, .tasks = batch.tasks, .dropout = &dropout};
    const auto loss = model.loss(tape, batch, model.gather(tape, batch, split.bank), routing);
    tape.backward(loss);
    const double norm = gradient_norm(model.parameters());
    expect(std::isfinite(norm), "{}: the gradient of step {} is {}; learning rate {}", task, step,
           norm, rate(step));
    optimizer.step(rate(step), clip_factor(norm, o.clip));
    if (listener && ((step + 1) % 10 == 0 || step + 1 == steps)) listener(step % 10 + 1, task);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return seconds.count();
}

/// Lets the adapters see training samples again, without learning, and count which branches they
/// use.
template <Backend B>
void observe(model::Multimodal<B>& model, Tape<B>& tape, const Split<B>& split,
             const Options& o) {
  tape.set_recording(false);
  for (Index first = 0; first < std::min(o.observed, split.size()); first += o.batch) {
    tape.reset();
    std::vector<Index> chosen;
    for (Index i = first; i < std::min(first + o.batch, split.size()); ++i) chosen.push_back(i);
    const model::Batch batch = make_batch(split, chosen);
    const Routing routing{.sequences = &batch.sequences, .tasks = batch.tasks, .observe = true};
    model.hidden(tape, batch, model.gather(tape, batch, split.bank), routing);
  }
  tape.set_recording(true);
}

/// Counts into a record what a finished model has learned.
template <Backend B>
void count_parameters(const model::Multimodal<B>& model, const Options& o,
                      RunResult& result) {
  for (const auto& p : model.parameters()) {
    const bool base = p.name.starts_with("projector.") && o.projector_rate <= 0;
    if (detail::is_learned(p) && !base) result.trainable += p.value.size();
    if (p.name.find(".router") != std::string::npos) result.router += p.value.size();
  }
}

/// What tells a run from every other: a snapshot goes on under the same text alone. JSON, so that a
/// program that reads a snapshot learns how it was made.
template <Backend B>
std::string run_identity(const Base& base, std::span<const TaskData<B>> tasks,
                         const std::string& name, const Options& o) {
  auto names = nlohmann::json::array();
  for (const TaskData<B>& task : tasks) names.push_back(task.info.name);
  return nlohmann::json{
      {"name", name}, {"base", base.digest}, {"tasks", names}, {"options", o.to_json()}}
      .dump();
}

/// Learns `tasks` one after another with a method's adapters on the base model, and after each scores
/// the tasks so far and the next (all of them with `Options::full_matrix`); `name` titles its row.
/// Returns the run's record and, where a selector picks the router, a second one of the same training
/// scored with the true task given.
///
/// With a `snapshot` path the state is kept after each task, and a run that finds its own goes on
/// from there, to the same bits.
template <Backend B>
std::vector<RunResult> run_stream(B& backend, const Base& base,
                                          std::span<const TaskData<B>> tasks,
                                          const Method<B>& method, const std::string& name,
                                          const Options& o,
                                          const std::filesystem::path& snapshot = {},
                                          const Listener& listener = {}) {
  const Random random(o.seed);
  model::Multimodal<B> model(backend, base.config);
  base.load(model);
  model.freeze_base(o.storage, o.projector_rate);
  model.attach(method, o.hyper, random.fork("adapter"));
  Tape<B> tape(backend);
  Progressed done;
  const std::string identity = run_identity(base, tasks, name, o);
  if (!snapshot.empty() && std::filesystem::exists(snapshot)) {
    done = load_snapshot(snapshot, model, method, identity);
    if (listener) listener(done.tasks_done * o.steps, name);
  }

  for (Index t = done.tasks_done; t < std::ssize(tasks); ++t) {
    const TaskData<B>& task = tasks[static_cast<std::size_t>(t)];
    model.for_each_adapter([&](auto& adapter) { adapter.begin_task(t); });
    done.stage_seconds.push_back(train_task(model, tape, task.train, task.info.name, o.steps, o,
                                            random.fork(static_cast<std::uint64_t>(t)), listener));
    if (method.uses_keys) {
      for (const Embedding& e : task.train.embeddings) done.selector.add(t, e);
    }
    if (method.freezes) observe(model, tape, task.train, o);
    model.for_each_adapter([](auto& adapter) { adapter.end_task(); });

    auto& row = done.scores.emplace_back();
    auto& given = done.scores_given.emplace_back();
    double found = 0;
    // Metrics look at the tasks so far and at the next.
    const Index scored =
        o.full_matrix ? std::ssize(tasks) : std::min(t + 2, std::ssize(tasks));
    for (Index j = 0; j < scored; ++j) {
      const TaskData<B>& other = tasks[static_cast<std::size_t>(j)];
      if (listener) listener(0, fmt::format("{}, scoring {}", task.info.name, other.info.name));
      const auto score = [&](auto router_of) {
        return evaluate(model, tape, other.test, other.info.scorer, base.tokenizer, o, router_of)
            .score;
      };
      // A task that has not been learned has no router of its own: it takes the latest.
      const Index known = std::min(j, t);
      if (method.uses_keys) {
        const auto selected = [&](Index i) {
          return done.selector.select(other.test.embeddings[static_cast<std::size_t>(i)]);
        };
        row.push_back(score(selected));
        given.push_back(score([&](Index) { return known; }));
        double hits = 0;
        for (Index i = 0; i < other.test.size(); ++i) hits += selected(i) == j ? 1 : 0;
        found += 100.0 * hits / static_cast<double>(other.test.size() * std::ssize(tasks));
      } else {
        row.push_back(score([&](Index) { return known; }));
      }
    }
    done.selector_accuracy = found;
    done.tasks_done = t + 1;
    if (!snapshot.empty()) save_snapshot(snapshot, model, method, done, identity);
  }

  RunResult result;
  result.method = name;
  result.seed = o.seed;
  result.protocol = method.selects && !method.uses_keys ? "Task-IL" : "Domain-IL";
  result.config = o.to_json();
  result.config["variant"] = method.description;
  result.R = empty_accuracy_matrix(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    result.tasks.push_back(tasks[i].info.name);
    result.stage_steps.push_back(o.steps);
    for (std::size_t j = 0; j < done.scores[i].size(); ++j) result.R(i, j) = done.scores[i][j];
  }
  count_parameters(model, o, result);
  result.stage_seconds = done.stage_seconds;
  result.train_seconds = 0;
  for (const double s : done.stage_seconds) result.train_seconds += s;
  result.step_ms = 1e3 * result.train_seconds / static_cast<double>(o.steps * std::ssize(tasks));
  std::vector<RunResult> results{result};
  if (method.uses_keys) {
    results.front().selector_accuracy = done.selector_accuracy;
    RunResult told = result;
    told.method += ", task given";
    told.protocol = "Task-IL";
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      for (std::size_t j = 0; j < done.scores[i].size(); ++j) {
        told.R(i, j) = done.scores_given[i][j];
      }
    }
    results.push_back(told);
  }
  return results;
}

}  // namespace branchlora::continual
