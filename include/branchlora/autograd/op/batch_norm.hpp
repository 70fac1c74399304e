/// @file
/// Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167).
#pragma once

#include <cmath>

#include "branchlora/autograd/op/linear.hpp"

namespace branchlora::op {

/// Mean and variance of each column, 1 x cols, as they were over the batches so far.
template <class T>
struct RunningStatistics {
  MatrixView<T> mean, variance;
};

/// y = h * gain + bias with h = (x - mean) / sqrt(variance + epsilon), column by column. With
/// `batch` mean and variance are those of x itself, and gradients flow through them.
template <Backend B>
struct BatchNorm {
  using T = typename B::Scalar;
  Var<T> x, gain, bias, y;
  MatrixView<T> normal;   ///< h.
  MatrixView<T> inverse;  ///< 1 / sqrt(variance + epsilon) of each column.
  bool batch;

  void backward(Tape<B>& tape) const {
    const MatrixView<const T> dy = y.grad();
    auto& backend = tape.backend();
    const auto h = normal;
    const T* g = gain.value().data;
    const T* inv = inverse.data;
    const T share = batch ? T(1) / static_cast<T>(dy.rows) : T(0);
    if (gain.needs_grad()) {
      const auto [dg, add] = tape.gradient(gain);
      backend.reduce_columns(
          dy.rows, dy.cols, [=] BRANCHLORA_BODY(Index r, Index c) { return dy(r, c) * h(r, c); },
          dg.data, add);
    }
    bias_gradient(tape, dy, bias);
    if (!x.needs_grad()) return;
    const T* mean = nullptr;
    const T* dot = nullptr;
    if (batch) {
      mean = column_mean(tape, [=] BRANCHLORA_BODY(Index r, Index c) { return share * dy(r, c); });
      dot = column_mean(
          tape, [=] BRANCHLORA_BODY(Index r, Index c) { return share * dy(r, c) * h(r, c); });
    }
    const auto sink = tape.gradient(x);
    backend.for_rows(dy.rows, [=, through = batch] BRANCHLORA_BODY(auto team, Index i) {
      const T* di = dy.row(i);
      const T* hi = h.row(i);
      T* out = sink.view.row(i);
      team.loop(dy.cols, [=](Index c) {
        const T d = g[c] * inv[c] * (through ? di[c] - mean[c] - hi[c] * dot[c] : di[c]);
        out[c] = sink.add ? out[c] + d : d;
      });
    });
  }

 private:
  template <class F>
  const T* column_mean(Tape<B>& tape, F f) const {
    T* out = tape.template array<T>(x.cols());
    tape.backend().reduce_columns(x.rows(), x.cols(), f, out, false);
    return out;
  }
};

namespace detail {

/// Normalises x with the given mean and inverse deviation and records it.
template <Backend B>
Var<typename B::Scalar> normalise_columns(Tape<B>& tape, Var<typename B::Scalar> x,
                                          Var<typename B::Scalar> gain,
                                          Var<typename B::Scalar> bias,
                                          const typename B::Scalar* mean,
                                          MatrixView<typename B::Scalar> inverse, bool batch) {
  using T = typename B::Scalar;
  auto y = tape.result(x.rows(), x.cols(), x, gain, bias);
  const auto normal = tape.scratch(x.rows(), x.cols());
  tape.backend().for_rows(x.rows(), [=, xv = x.value(), yv = y.value(), g = gain.value().data,
                                     b = bias.value().data] BRANCHLORA_BODY(auto team, Index i) {
    const T* xi = xv.row(i);
    T* hi = normal.row(i);
    T* yi = yv.row(i);
    team.loop(xv.cols, [=](Index c) {
      hi[c] = (xi[c] - mean[c]) * inverse.data[c];
      yi[c] = hi[c] * g[c] + b[c];
    });
  });
  tape.record(y, BatchNorm<B>{x, gain, bias, y, normal, inverse, batch});
  return y;
}

template <class T>
void expect_norm_shapes(const Var<T>& x, const Var<T>& gain, const Var<T>& bias,
                        const RunningStatistics<T>& running) {
  expect_shape(gain.value(), 1, x.cols(), "the gain of a batch norm");
  expect_shape(bias.value(), 1, x.cols(), "the bias of a batch norm");
  expect_shape(running.mean, 1, x.cols(), "the running mean of a batch norm");
  expect_shape(running.variance, 1, x.cols(), "the running variance of a batch norm");
}

}  // namespace detail

/// Training: each column of x (two rows or more) by its own mean and variance; gain and bias are
/// 1 x cols. Moves `running` by the share `momentum` towards the batch, its variance taken as an
/// estimate from a sample (divided by rows - 1), as PyTorch does.
template <Backend B>
Var<typename B::Scalar> batch_norm(Tape<B>& tape, Var<typename B::Scalar> x,
                                   Var<typename B::Scalar> gain, Var<typename B::Scalar> bias,
                                   const RunningStatistics<typename B::Scalar>& running,
                                   double momentum, double epsilon) {
  using T = typename B::Scalar;
  detail::expect_norm_shapes(x, gain, bias, running);
  expect(x.rows() > 1, "batch norm: expected at least two rows to train on, found {}", x.rows());
  auto& backend = tape.backend();
  const T share = T(1) / static_cast<T>(x.rows());
  T* mean = tape.template array<T>(x.cols());
  const auto inverse = tape.scratch(1, x.cols());
  const MatrixView<const T> xv = x.value();
  backend.reduce_columns(
      x.rows(), x.cols(), [=] BRANCHLORA_BODY(Index r, Index c) { return share * xv(r, c); }, mean,
      false);
  backend.reduce_columns(
      x.rows(), x.cols(),
      [=] BRANCHLORA_BODY(Index r, Index c) {
        return share * (xv(r, c) - mean[c]) * (xv(r, c) - mean[c]);
      },
      inverse.data, false);
  const T move = static_cast<T>(momentum);
  const T unbiased = static_cast<T>(x.rows()) / static_cast<T>(x.rows() - 1);
  backend.for_each(x.cols(), [=, e = static_cast<T>(epsilon)] BRANCHLORA_BODY(Index c) {
    const T variance = inverse.data[c];
    running.mean.data[c] += move * (mean[c] - running.mean.data[c]);
    running.variance.data[c] += move * (variance * unbiased - running.variance.data[c]);
    inverse.data[c] = T(1) / std::sqrt(variance + e);
  });
  return detail::normalise_columns(tape, x, gain, bias, mean, inverse, true);
}

/// Inference: each column of x by the running mean and variance, which stay as they are.
template <Backend B>
Var<typename B::Scalar> batch_norm_inference(Tape<B>& tape, Var<typename B::Scalar> x,
                                             Var<typename B::Scalar> gain,
                                             Var<typename B::Scalar> bias,
                                             const RunningStatistics<typename B::Scalar>& running,
                                             double epsilon) {
  using T = typename B::Scalar;
  detail::expect_norm_shapes(x, gain, bias, running);
  const auto inverse = tape.scratch(1, x.cols());
  tape.backend().for_each(x.cols(), [=, e = static_cast<T>(epsilon)] BRANCHLORA_BODY(Index c) {
    inverse.data[c] = T(1) / std::sqrt(running.variance.data[c] + e);
  });
  return detail::normalise_columns(tape, x, gain, bias, running.mean.data, inverse, false);
}

}  // namespace branchlora::op
