/// @file
/// Adapters that come from a generator: each task is trained by itself, and one generator learns
/// all of their adapters (ICM-LoRA).
#pragma once

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/policy/selector.hpp"
#include "branchlora/continual/run.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/generator/task_vector.hpp"
#include "branchlora/generator/train_cvae.hpp"

namespace branchlora::continual {

/// How adapters become a generator's.
struct GeneratorOptions {
  Index checkpoints = 8;  ///< Of each task, the last ones of its training, ten steps apart.
  std::vector<Index> channels = generator::CvaeConfig{}.channels;  ///< Of the autoencoder's stages.
  generator::CvaeTraining training{.steps = 400, .batch = 4, .rate = 2e-3};
  generator::Denormalise how = generator::Denormalise::matched;
};

/// Adapters of several tasks, trained and generated.
struct GeneratedAdapters {
  generator::CheckpointBank bank;
  std::vector<std::vector<double>> vectors;  ///< The task vectors.
  std::vector<generator::Weights> weights;   ///< Of each task's generated adapter.
  nlohmann::json facts;                      ///< Sizes, settings and the last loss.
};

/// Trains a generator on a bank of adapters of a model of `width`, and has it make one adapter for
/// each task, whose latent is drawn from `random`.
template <Backend B>
void generate(B& backend, GeneratedAdapters& adapters, Index width, const GeneratorOptions& options,
              const Random& random, const Listener& listener) {
  const generator::CheckpointBank& bank = adapters.bank;
  const generator::CvaeConfig config{
      .length = bank.layout().size(), .condition = width, .channels = options.channels};
  generator::Cvae<B> cvae(backend, config, random);
  Tape<B> tape(backend);
  const auto loss =
      generator::train_cvae<B>(cvae, tape, bank, adapters.vectors, options.training, random,
                               [&](Index step, const generator::CvaeLoss& l) {
                                 if (!listener || (step + 1) % 10 != 0) return;
                                 listener(0, fmt::format("generator, loss {:.3f}", l.total));
                               })
          .back();
  for (std::size_t t = 0; t < adapters.vectors.size(); ++t) {
    std::vector<double> z(static_cast<std::size_t>(config.latent));
    const Random own = random.fork("z").fork(t);
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = own.normal(i);
    adapters.weights.push_back(generator::generate_adapter<B>(
        cvae, tape, bank, static_cast<Index>(t), adapters.vectors[t], z, options.how));
  }
  const Index tasks = std::ssize(adapters.vectors);
  const Index statistics = 2 * std::ssize(bank.layout().entries()) * tasks;
  adapters.facts = {
      {"parameters", config.parameters()},
      {"bytes", cvae.bytes() + statistics * static_cast<Index>(sizeof(float))},
      {"bank_bytes", bank.bytes()},
      {"adapter_bytes", tasks * bank.layout().size() * static_cast<Index>(sizeof(float))},
      {"checkpoints", options.checkpoints},
      {"channels", options.channels},
      {"steps", options.training.steps},
      {"batch", options.training.batch},
      {"rate", options.training.rate},
      {"kl_weight", options.training.kl_weight},
      {"matched", options.how == generator::Denormalise::matched},
      {"loss", loss.total},
      {"reconstruction", loss.reconstruction}};
}

/// The samples of a split for which `wanted(i)` holds.
template <Backend B, class Wanted>
Split<B> part_of(const Split<B>& split, Wanted wanted) {
  Split<B> part;
  part.bank = split.bank;
  for (Index i = 0; i < split.size(); ++i) {
    if (!wanted(i)) continue;
    const auto k = static_cast<std::size_t>(i);
    part.samples.push_back(split.samples[k]);
    part.examples.push_back(split.examples[k]);
    part.embeddings.push_back(split.embeddings[k]);
  }
  return part;
}

/// The method whose adapters are generated: which of them answers a question, keys and ridge
/// regression say, as for methods of routers of tasks.
template <Backend B>
Method<B> with_generated_adapters(Method<B> method) {
  method.selects = true;
  method.selectors = selectors_of<selector::Each<selector::NearestKey, selector::Ridge>>();
  return method;
}

/// Trains a method's adapters on each task by itself, from the base each time and with a frozen
/// projector; then has one generator make them all, from the task vectors. R has the trained
/// adapters' scores in its diagonal, and in its last row those of the generated ones, so that BWT
/// is what generation costs (of the last task nothing shows). Which adapter answers a question,
/// selectors say (`with_generated_adapters`): a task vector is one of a tuned model, so that a
/// question has none before its adapter is there. The last record has the true task given.
///
/// The entry "generator" of the records' configuration holds the trained and the generated
/// adapters' scores on every task, with the true task given, how far the weights are apart, and the
/// bytes of the generator (with the statistics that its output is scaled by), of the bank that it
/// learned from, and of the tasks' last adapters alone.
template <Backend B>
std::vector<RunResult> run_generated(B& backend, const Base& base,
                                     std::span<const TaskData<B>> tasks, Method<B> method,
                                     const std::string& name, Options o,
                                     const Listener& listener = {},
                                     const GeneratorOptions& options = {}) {
  expect(!method.per_task_router, "{}: a task alone has one router: it needs no selector", name);
  expect(!method.needs.any(),
         "{}: a generator makes A and B alone: expected a start from their shape, found one that "
         "sees more",
         name);
  o.projector_rate = 0;
  method = with_generated_adapters(std::move(method));
  const auto learned = [](const auto& p) {
    return !p.constant && detail::is_learned(p) && !p.name.starts_with("projector.");
  };
  const auto score = [&](Learner<B>& learner, const Split<B>& split, const TaskData<B>& task) {
    return evaluate(learner.model, learner.tape, split, task.info.scorer, *base.language, o,
                    [](Index) { return Index{0}; })
        .score;
  };
  GeneratedAdapters adapters;
  Progressed done(method);
  std::vector<double> trained;
  for (std::size_t t = 0; t < tasks.size(); ++t) {
    const auto number = static_cast<Index>(t);
    ParameterSet<B>* parameters = nullptr;
    Index steps_done = 0;
    const Listener keep = [&](Index steps, const std::string& what) {
      steps_done += steps;
      if (steps_done > o.steps - 10 * options.checkpoints) {
        adapters.bank.add(number, generator::weights_of(*parameters, learned));
      }
      if (listener) listener(steps, what);
    };
    Learner<B> learner(backend, base, method, o, keep);
    parameters = &learner.model.parameters();
    learner.model.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
    done.stage_seconds.push_back(seconds_of([&] {
      train(learner, tasks[t].train, tasks[t].info.name, o.steps, learner.random.fork(t));
    }));
    adapters.vectors.push_back(generator::task_vector<B>(
        learner.model, learner.tape, tasks[t].train.examples, tasks[t].train.bank));
    add_task(done, number, tasks[t].train);
    trained.push_back(score(learner, tasks[t].test, tasks[t]));
    done.scores.emplace_back(t, not_measured).push_back(trained.back());
  }

  Learner<B> learner(backend, base, method, o, listener);
  const double seconds = seconds_of([&] {
    generate(backend, adapters, base.config.decoder.width, options,
             learner.random.fork("generator"), listener);
  });
  done.scores.back().clear();  // its row is of generated adapters
  for (Selected& s : done.selectors) s.scores = done.scores;
  std::vector<double> errors;
  for (std::size_t j = 0; j < tasks.size(); ++j) {
    const Split<B>& test = tasks[j].test;
    const auto answer = [&](std::size_t adapter, const Split<B>& questions) {
      generator::load_weights(learner.model.parameters(), adapters.weights[adapter]);
      return score(learner, questions, tasks[j]);
    };
    const auto number = static_cast<Index>(j);
    score_task(test, number, number, tasks.size(), done, [&](const TaskChoice& adapter) {
      double sum = 0;
      for (std::size_t k = 0; k < tasks.size(); ++k) {
        const Split<B> part = part_of(test, [&](Index i) {
          return adapter.tasks[static_cast<std::size_t>(i)] == static_cast<std::int32_t>(k);
        });
        const auto share = static_cast<double>(part.size()) / static_cast<double>(test.size());
        if (part.size() > 0) sum += share * answer(k, part);
      }
      return sum;
    });
    const auto& last = adapters.bank.reference(static_cast<Index>(j));
    errors.push_back(generator::relative_error(adapters.weights[j], adapters.bank.weights(last)));
  }

  const double training =
      std::accumulate(done.stage_seconds.begin(), done.stage_seconds.end(), 0.0);
  RunResult result = record_of(learner, tasks, name, training);
  result.stage_seconds = done.stage_seconds;
  adapters.facts.update({{"trained", trained},
                         {"generated", done.scores.back()},
                         {"weight_error", errors},
                         {"seconds", seconds}});
  result.config.json()["generator"] = adapters.facts;
  return scored_records(method, done, result);
}

}  // namespace branchlora::continual
