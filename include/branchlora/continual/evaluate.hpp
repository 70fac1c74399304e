/// @file
/// Scoring a model on a split.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "branchlora/continual/language.hpp"
#include "branchlora/continual/options.hpp"
#include "branchlora/continual/task_data.hpp"
#include "branchlora/model/generate.hpp"

namespace branchlora::continual {

/// What a model answered, and what that is worth.
struct Evaluation {
  double score = 0;  ///< Mean over questions, in percent.
  std::vector<std::string> answers;
  std::vector<double> scores;  ///< Of each question, 0 to 1.
};

/// Answers every question of a split greedily and scores it; `router_of(i)` is the task whose
/// router question i takes, where routers are per task.
template <Backend B, class RouterOf>
Evaluation evaluate(model::Multimodal<B>& model, Tape<B>& tape, const Split<B>& split,
                    data::Scorer scorer, const Language& language, const Options& options,
                    RouterOf router_of) {
  Evaluation result;
  const Index n = split.size();
  for (Index first = 0; first < n; first += options.evaluation_batch) {
    model::Batch batch;
    std::vector<std::int32_t> routers;
    const Index last = std::min(n, first + options.evaluation_batch);
    for (Index i = first; i < last; ++i) {
      batch.push(model::question(split.examples[static_cast<std::size_t>(i)]), split.bank.tokens);
      routers.push_back(static_cast<std::int32_t>(router_of(i)));
    }
    const auto tokens =
        model::generate(model, tape, batch, split.bank, std::span<const std::int32_t>(routers),
                        language.end(), options.answer_tokens);
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

}  // namespace branchlora::continual
