/// @file
/// Layer normalisation (Ba et al., arXiv 1607.06450).
#pragma once

#include <cmath>

#include "branchlora/autograd/op/linear.hpp"

namespace branchlora::op {

/// y = (x - mean) / sqrt(variance + epsilon) * gain + bias, row by row.
template <Backend B>
struct LayerNorm {
  using T = typename B::Scalar;
  Var<T> x, gain, bias, y;
  MatrixView<T> centred;  ///< (x - mean) / sqrt(variance + epsilon).
  MatrixView<T> inverse;  ///< 1 / sqrt(variance + epsilon) of each row.

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const auto h = centred;
    const auto inv = inverse;
    const auto g = gain.value();
    if (x.needs_grad()) {
      const auto sink = tape.gradient(x);
      tape.backend().for_rows(dy.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
        const Index n = dy.cols;
        const T* hi = h.row(i);
        const T* di = dy.row(i);
        const T r = inv.data[i];
        const T mean = team.sum(n, [=](Index c) { return di[c] * g.data[c]; }) / static_cast<T>(n);
        const T dot =
            team.sum(n, [=](Index c) { return di[c] * g.data[c] * hi[c]; }) / static_cast<T>(n);
        T* out = sink.view.row(i);
        if (sink.add) {
          team.loop(n, [=](Index c) { out[c] += r * (di[c] * g.data[c] - mean - hi[c] * dot); });
        } else {
          team.loop(n, [=](Index c) { out[c] = r * (di[c] * g.data[c] - mean - hi[c] * dot); });
        }
      });
    }
    if (gain.needs_grad()) {
      const auto sink = tape.gradient(gain);
      tape.backend().reduce_columns(
          dy.rows, dy.cols, [=] BRANCHLORA_BODY(Index r, Index c) { return dy(r, c) * h(r, c); },
          sink.view.data, sink.add);
    }
    bias_gradient(tape, dy, bias);
  }
};

/// Normalises each row of x; gain and bias are 1 x cols.
template <Backend B>
Var<typename B::Scalar> layer_norm(Tape<B>& tape, Var<typename B::Scalar> x,
                                   Var<typename B::Scalar> gain, Var<typename B::Scalar> bias,
                                   double epsilon) {
  using T = typename B::Scalar;
  expect_shape(gain.value(), 1, x.cols(), "the gain of a layer norm");
  expect_shape(bias.value(), 1, x.cols(), "the bias of a layer norm");
  auto y = tape.result(x.rows(), x.cols(), x, gain, bias);
  const auto centred = tape.scratch(x.rows(), x.cols());
  const auto inverse = tape.scratch(1, x.rows());
  tape.backend().for_rows(
      x.rows(), [=, xv = x.value(), g = gain.value(), b = bias.value(), yv = y.value(),
                 e = static_cast<T>(epsilon)] BRANCHLORA_BODY(auto team, Index i) {
        const Index n = xv.cols;
        const T* xi = xv.row(i);
        const T mean = team.sum(n, [=](Index c) { return xi[c]; }) / static_cast<T>(n);
        const T variance = team.sum(n, [=](Index c) { return (xi[c] - mean) * (xi[c] - mean); }) /
                           static_cast<T>(n);
        const T r = T(1) / std::sqrt(variance + e);
        inverse.data[i] = r;
        T* hi = centred.row(i);
        T* yi = yv.row(i);
        team.loop(n, [=](Index c) {
          hi[c] = (xi[c] - mean) * r;
          yi[c] = hi[c] * g.data[c] + b.data[c];
        });
      });
  tape.record(y, LayerNorm<B>{x, gain, bias, y, centred, inverse});
  return y;
}

}  // namespace branchlora::op
