/// @file
/// Scoring a model on a split.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "branchlora/continual/language.hpp"
#include "branchlora/continual/options.hpp"
#include "branchlora/continual/task_data.hpp"
#include "branchlora/model/generate.hpp"
#include "branchlora/selector/task_selector.hpp"

namespace branchlora::continual {

/// What a model answered, and what that is worth.
struct Evaluation {
  double score = 0;  ///< Mean over questions, in percent.
  std::vector<std::string> answers;
  std::vector<double> scores;  ///< Of each question, 0 to 1.
};

/// By which tasks' routers or branches questions are answered, where those are of tasks.
struct TaskChoice {
  std::vector<std::int32_t> tasks;  ///< Of each question.
  /// What each task weighs in each question, a row a question, where tasks are mixed; else empty.
  std::vector<double> weights;

  bool operator<(const TaskChoice& other) const {
    return std::tie(tasks, weights) < std::tie(other.tasks, other.weights);
  }
};

/// What a selector chooses for questions.
inline TaskChoice choose_tasks(const TaskSelector& selector, std::span<const Embedding> questions) {
  TaskChoice choice;
  for (const Embedding& e : questions) {
    choice.tasks.push_back(static_cast<std::int32_t>(selector.select(e)));
    if (!selector.mixes()) continue;
    const std::vector<double> w = selector.weights(e);
    choice.weights.insert(choice.weights.end(), w.begin(), w.end());
  }
  return choice;
}

/// Answers every question of a split greedily, by the tasks that are chosen for it, and scores it.
template <Backend B>
Evaluation evaluate(model::Multimodal<B>& model, Tape<B>& tape, const Split<B>& split,
                    data::Scorer scorer, const Language& language, const Options& options,
                    const TaskChoice& choice) {
  Evaluation result;
  const Index n = split.size();
  const auto weights = [&](Index first, Index last) {
    const Index tasks = std::ssize(choice.weights) / std::max<Index>(1, n);
    return std::span(choice.weights)
        .subspan(static_cast<std::size_t>(first * tasks),
                 static_cast<std::size_t>((last - first) * tasks));
  };
  for (Index first = 0; first < n; first += options.evaluation_batch) {
    model::Batch batch;
    const Index last = std::min(n, first + options.evaluation_batch);
    for (Index i = first; i < last; ++i) {
      batch.push(model::question(split.examples[static_cast<std::size_t>(i)]), split.bank.tokens);
    }
    const auto tasks =
        std::span(choice.tasks)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(last - first));
    const auto tokens = model::generate(model, tape, batch, split.bank, tasks, language.end(),
                                        options.answer_tokens, weights(first, last));
    for (Index i = first; i < last; ++i) {
      const auto& ids = tokens[static_cast<std::size_t>(i - first)];
      result.answers.push_back(language.decode(ids));
      result.scores.push_back(
          data::score(scorer, result.answers.back(), split.samples[static_cast<std::size_t>(i)]));
      result.score += 100.0 * result.scores.back() / static_cast<double>(n);
    }
  }
  return result;
}

/// The same where `router_of(i)` is the task whose router or branch question i takes.
template <Backend B, class RouterOf>
requires std::invocable<RouterOf, Index> Evaluation
evaluate(model::Multimodal<B>& model, Tape<B>& tape, const Split<B>& split, data::Scorer scorer,
         const Language& language, const Options& options, RouterOf router_of) {
  TaskChoice choice;
  for (Index i = 0; i < split.size(); ++i) {
    choice.tasks.push_back(static_cast<std::int32_t>(router_of(i)));
  }
  return evaluate(model, tape, split, scorer, language, options, choice);
}

}  // namespace branchlora::continual
