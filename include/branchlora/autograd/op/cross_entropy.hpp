/// @file
/// The loss of a language model.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::op {

/// The target of positions that do not count (PyTorch's convention).
inline constexpr std::int32_t ignored = -100;

/// Mean over the counted rows of -log softmax(logits)[target].
template <Backend B>
struct CrossEntropy {
  using T = typename B::Scalar;
  Var<T> logits, loss;
  const std::int32_t* targets;
  MatrixView<T> log_sum;  ///< log sum exp of each row.
  T weight;               ///< 1 / counted rows.

  void backward(Tape<B>& tape) const {
    const auto sink = tape.gradient(logits);
    const auto x = logits.value();
    const T* dl = loss.grad().data;
    tape.backend().for_rows(
        x.rows, [=, t = targets, ls = log_sum, w = weight] BRANCHLORA_BODY(auto team, Index i) {
          T* out = sink.view.row(i);
          const T* xi = x.row(i);
          if (t[i] == ignored) {
            if (!sink.add) team.loop(x.cols, [=](Index c) { out[c] = T(0); });
            return;
          }
          const T g = w * *dl;
          const T shift = ls.data[i];
          const Index target = t[i];
          team.loop(x.cols, [=, add = sink.add](Index c) {
            const T d = g * (math::exp(xi[c] - shift) - (c == target ? T(1) : T(0)));
            out[c] = add ? out[c] + d : d;
          });
        });
  }
};

/// The mean cross-entropy (nats) of logits (rows x classes) against one class a row; rows whose
/// target is `ignored` do not count. No counted row gives a loss of zero.
template <Backend B>
Var<typename B::Scalar> cross_entropy(Tape<B>& tape, Var<typename B::Scalar> logits,
                                      std::span<const std::int32_t> targets) {
  using T = typename B::Scalar;
  expect(static_cast<Index>(targets.size()) == logits.rows(),
         "cross-entropy: {} targets for {} rows of logits", targets.size(), logits.rows());
  Index counted = 0;
  for (const auto t : targets) {
    expect(t == ignored || (t >= 0 && t < logits.cols()),
           "cross-entropy: target {} outside of {} classes", t, logits.cols());
    counted += t != ignored ? 1 : 0;
  }
  const T weight = counted > 0 ? T(1) / static_cast<T>(counted) : T(0);
  const std::int32_t* t = tape.upload(targets);
  auto loss = tape.result(1, 1, logits);
  const auto log_sum = tape.scratch(1, logits.rows());
  const auto losses = tape.scratch(1, logits.rows());
  tape.backend().for_rows(
      logits.rows(), [=, x = logits.value()] BRANCHLORA_BODY(auto team, Index i) {
        const T* xi = x.row(i);
        const T highest = team.max(x.cols, [=](Index c) { return xi[c]; });
        const T sum = team.sum(x.cols, [=](Index c) { return math::exp(xi[c] - highest); });
        log_sum.data[i] = highest + std::log(sum);
        losses.data[i] = t[i] == ignored ? T(0) : log_sum.data[i] - xi[t[i]];
      });
  tape.backend().reduce_columns(
      logits.rows(), 1, [=] BRANCHLORA_BODY(Index r, Index) { return weight * losses.data[r]; },
      loss.value().data, false);
  tape.record(loss, CrossEntropy<B>{logits, loss, t, log_sum, weight});
  return loss;
}

}  // namespace branchlora::op
