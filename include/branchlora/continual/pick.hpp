/// @file
/// Samples of one or several splits as a batch.
#pragma once

#include <span>
#include <vector>

#include "branchlora/continual/task_data.hpp"

namespace branchlora::continual {

/// A sample where it lies.
template <Backend B>
struct Pick {
  const Split<B>* split;
  Index sample;

  const model::Example& example() const {
    return split->examples[static_cast<std::size_t>(sample)];
  }
};

/// Samples of one split, given by number.
template <Backend B>
std::vector<Pick<B>> pick(const Split<B>& split, std::span<const Index> samples) {
  std::vector<Pick<B>> picks;
  for (const Index i : samples) picks.push_back({&split, i});
  return picks;
}

/// The batch of some samples, in their order.
template <Backend B>
model::Batch make_batch(const std::vector<Pick<B>>& picks) {
  model::Batch batch;
  for (const Pick<B>& p : picks) batch.push(p.example(), p.split->bank.tokens);
  return batch;
}

/// The vision features of a batch's pictures, one below the other: (pictures * tokens) x width.
template <Backend B>
Var<typename B::Scalar> gather_features(Tape<B>& tape, const std::vector<Pick<B>>& picks) {
  Index rows = 0;
  for (const Pick<B>& p : picks) rows += p.example().image >= 0 ? p.split->bank.tokens : 0;
  const auto all = tape.scratch(rows, picks.front().split->bank.all().cols);
  Index row = 0;
  for (const Pick<B>& p : picks) {
    if (p.example().image < 0) continue;
    tape.backend().copy(p.split->bank.image(p.example().image),
                        all.middle_rows(row, p.split->bank.tokens));
    row += p.split->bank.tokens;
  }
  return tape.constant(all);
}

/// What the mean loss on some samples weighs in that on `all`, which they are a part of: as much as
/// their answers' tokens, or as they are many where nothing has an answer.
template <Backend B>
double loss_weight(const std::vector<Pick<B>>& part, const std::vector<Pick<B>>& all) {
  const auto tokens = [](const std::vector<Pick<B>>& samples) {
    std::size_t sum = 0;
    for (const Pick<B>& p : samples) {
      for (const model::TokenTurn& turn : p.example().turns) sum += turn.answer.size();
    }
    return static_cast<double>(sum);
  };
  if (tokens(all) > 0) return tokens(part) / tokens(all);
  return static_cast<double>(part.size()) / static_cast<double>(all.size());
}

}  // namespace branchlora::continual
