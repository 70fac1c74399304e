/// @file
/// The mean of each sequence's tokens, which routers of sequences read.
#pragma once

#include <span>

#include "branchlora/autograd/tape.hpp"

namespace branchlora::gate {

/// The mean of the rows of x for each sequence: sequences x cols.
template <Backend B>
MatrixView<typename B::Scalar> sequence_means(Tape<B>& tape, const Sequences& sequences,
                                              MatrixView<const typename B::Scalar> x) {
  using T = typename B::Scalar;
  const auto means = tape.scratch(sequences.count(), x.cols);
  const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
  tape.backend().for_rows(means.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
    T* to = means.row(s);
    const T share = T(1) / static_cast<T>(offsets[s + 1] - offsets[s]);
    team.loop(x.cols, [=](Index c) {
      T sum = 0;
      for (Index t = offsets[s]; t < offsets[s + 1]; ++t) sum += x(t, c);
      to[c] = share * sum;
    });
  });
  return means;
}

/// From the gradient of the means to that of x, which must need one.
template <Backend B>
void sequence_means_backward(Tape<B>& tape, const Sequences& sequences, Var<typename B::Scalar> x,
                             MatrixView<const typename B::Scalar> dmeans) {
  using T = typename B::Scalar;
  const auto dx = tape.gradient(x);
  const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
  tape.backend().for_rows(dmeans.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
    const T share = T(1) / static_cast<T>(offsets[s + 1] - offsets[s]);
    const T* from = dmeans.row(s);
    for (Index t = offsets[s]; t < offsets[s + 1]; ++t) {
      T* to = dx.view.row(t);
      team.loop(dmeans.cols, [=, add = dx.add](Index c) {
        to[c] = add ? to[c] + share * from[c] : share * from[c];
      });
    }
  });
}

}  // namespace branchlora::gate
