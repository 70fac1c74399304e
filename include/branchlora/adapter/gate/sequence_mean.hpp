/// @file
/// What a router reads of a sequence: its first token, or the mean of its tokens.
#pragma once

#include <span>

#include "branchlora/adapter/policy/granularity.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/host_device.hpp"

namespace branchlora::gate {

/// The mean of the first `G`::tokens(rows) rows of x, one team's part of the work.
template <GranularityOf G, class Team, class T>
BRANCHLORA_BODY void sequence_mean(const Team& team, MatrixView<const T> x, T* to) {
  const Index count = G::tokens(x.rows);
  team.loop(x.cols, [=](Index c) { to[c] = T(0); });
  const T share = T(1) / static_cast<T>(count);
  for (Index i = 0; i < count; ++i) {
    const T* from = x.row(i);
    team.loop(x.cols, [=](Index c) { to[c] += share * from[c]; });
  }
}

/// From the gradient of that mean: adds to dx.
template <GranularityOf G, class Team, class T>
BRANCHLORA_BODY void add_sequence_mean_gradient(const Team& team, const T* from, MatrixView<T> dx) {
  const Index count = G::tokens(dx.rows);
  const T share = T(1) / static_cast<T>(count);
  for (Index i = 0; i < count; ++i) {
    T* to = dx.row(i);
    team.loop(dx.cols, [=](Index c) { to[c] += share * from[c]; });
  }
}

/// The mean of each sequence's first `G`::tokens(length) rows of x: sequences x width.
template <GranularityOf G, Backend B>
MatrixView<typename B::Scalar> sequence_means(Tape<B>& tape, const Sequences& sequences,
                                              MatrixView<const typename B::Scalar> x) {
  const auto means = tape.scratch(sequences.count(), x.cols);
  const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
  tape.backend().for_rows(means.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
    sequence_mean<G>(team, x.middle_rows(offsets[s], offsets[s + 1] - offsets[s]), means.row(s));
  });
  return means;
}

/// From the gradient of the means to that of x, which must need one.
template <GranularityOf G, Backend B>
void sequence_means_backward(Tape<B>& tape, const Sequences& sequences, Var<typename B::Scalar> x,
                             MatrixView<const typename B::Scalar> dmeans) {
  const auto dx = tape.gradient(x);
  if (!dx.add) tape.backend().fill(dx.view, typename B::Scalar(0));
  const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
  tape.backend().for_rows(dmeans.rows, [=, dx = dx.view] BRANCHLORA_BODY(auto team, Index s) {
    add_sequence_mean_gradient<G>(team, dmeans.row(s),
                                  dx.middle_rows(offsets[s], offsets[s + 1] - offsets[s]));
  });
}

}  // namespace branchlora::gate
