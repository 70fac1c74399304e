/// @file
/// What a router reads of a sequence: its first token, or the mean of its tokens.
#pragma once

#include <span>

#include "branchlora/adapter/policy/granularity.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/host_device.hpp"

namespace branchlora::gate {

/// The mean of each sequence's first `G`::tokens(length) rows of x: sequences x width.
template <GranularityOf G, Backend B>
MatrixView<typename B::Scalar> sequence_means(Tape<B>& tape, const Sequences& sequences,
                                              MatrixView<const typename B::Scalar> x) {
  using T = typename B::Scalar;
  const auto means = tape.scratch(sequences.count(), x.cols);
  const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
  tape.backend().for_rows(means.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
    const Index first = offsets[s];
    const Index count = G::tokens(offsets[s + 1] - first);
    T* to = means.row(s);
    team.loop(x.cols, [=](Index c) { to[c] = T(0); });
    const T share = T(1) / static_cast<T>(count);
    for (Index i = 0; i < count; ++i) {
      const T* from = x.row(first + i);
      team.loop(x.cols, [=](Index c) { to[c] += share * from[c]; });
    }
  });
  return means;
}

/// From the gradient of the means to that of x, which must need one.
template <GranularityOf G, Backend B>
void sequence_means_backward(Tape<B>& tape, const Sequences& sequences, Var<typename B::Scalar> x,
                             MatrixView<const typename B::Scalar> dmeans) {
  using T = typename B::Scalar;
  const auto dx = tape.gradient(x);
  if (!dx.add) tape.backend().fill(dx.view, T(0));
  const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
  tape.backend().for_rows(dmeans.rows, [=, dx = dx.view] BRANCHLORA_BODY(auto team, Index s) {
    const Index count = G::tokens(offsets[s + 1] - offsets[s]);
    const T share = T(1) / static_cast<T>(count);
    const T* from = dmeans.row(s);
    for (Index i = 0; i < count; ++i) {
      T* to = dx.row(offsets[s] + i);
      team.loop(dmeans.cols, [=](Index c) { to[c] += share * from[c]; });
    }
  });
}

}  // namespace branchlora::gate
