/// @file
/// Root-mean-square normalisation (Zhang and Sennrich, arXiv 1910.07467).
#pragma once

#include <cmath>

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// y = x / sqrt(mean(x^2) + epsilon) * gain, row by row.
template <Backend B>
struct RmsNorm {
  using T = typename B::Scalar;
  Var<T> x, gain, y;
  MatrixView<T> inverse;  ///< 1 / sqrt(mean(x^2) + epsilon) of each row.

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const auto xv = x.value();
    const auto g = gain.value();
    const auto inv = inverse;
    if (x.needs_grad()) {
      const auto sink = tape.gradient(x);
      tape.backend().for_rows(dy.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
        const Index n = dy.cols;
        const T* xi = xv.row(i);
        const T* di = dy.row(i);
        const T r = inv.data[i];
        const T dot = team.sum(n, [=](Index c) { return di[c] * g.data[c] * xi[c]; });
        const T k = dot * r * r * r / static_cast<T>(n);
        T* out = sink.view.row(i);
        if (sink.add) {
          team.loop(n, [=](Index c) { out[c] += di[c] * g.data[c] * r - xi[c] * k; });
        } else {
          team.loop(n, [=](Index c) { out[c] = di[c] * g.data[c] * r - xi[c] * k; });
        }
      });
    }
    if (gain.needs_grad()) {
      const auto sink = tape.gradient(gain);
      tape.backend().reduce_columns(
          dy.rows, dy.cols,
          [=] BRANCHLORA_BODY(Index r, Index c) { return dy(r, c) * xv(r, c) * inv.data[r]; },
          sink.view.data, sink.add);
    }
  }
};

/// Normalises each row of x; gain is 1 x cols.
template <Backend B>
Var<typename B::Scalar> rms_norm(Tape<B>& tape, Var<typename B::Scalar> x,
                                 Var<typename B::Scalar> gain, double epsilon) {
  using T = typename B::Scalar;
  expect_shape(gain.value(), 1, x.cols(), "the gain of an RMS norm");
  auto y = tape.result(x.rows(), x.cols(), x, gain);
  const auto inverse = tape.scratch(1, x.rows());
  tape.backend().for_rows(x.rows(),
                          [=, xv = x.value(), g = gain.value(), yv = y.value(),
                           e = static_cast<T>(epsilon)] BRANCHLORA_BODY(auto team, Index i) {
                            const Index n = xv.cols;
                            const T* xi = xv.row(i);
                            const T square = team.sum(n, [=](Index c) { return xi[c] * xi[c]; });
                            const T r = T(1) / std::sqrt(square / static_cast<T>(n) + e);
                            inverse.data[i] = r;
                            T* yi = yv.row(i);
                            team.loop(n, [=](Index c) { yi[c] = xi[c] * r * g.data[c]; });
                          });
  tape.record(y, RmsNorm<B>{x, gain, y, inverse});
  return y;
}

}  // namespace branchlora::op
