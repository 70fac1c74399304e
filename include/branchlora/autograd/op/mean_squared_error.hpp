/// @file
/// The mean squared error.
#pragma once

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// loss = mean of (x - target)^2.
template <Backend B>
struct MeanSquaredError {
  using T = typename B::Scalar;
  Var<T> x, loss;
  MatrixView<const T> target;

  void backward(Tape<B>& tape) const {
    const auto sink = tape.gradient(x);
    const T* dl = loss.grad().data;
    tape.backend().for_rows(x.rows(),
                            [=, xv = x.value(), t = target] BRANCHLORA_BODY(auto team, Index i) {
                              const T g = T(2) * *dl / static_cast<T>(xv.size());
                              const T* xi = xv.row(i);
                              const T* ti = t.row(i);
                              T* out = sink.view.row(i);
                              team.loop(xv.cols, [=](Index c) {
                                const T d = g * (xi[c] - ti[c]);
                                out[c] = sink.add ? out[c] + d : d;
                              });
                            });
  }
};

/// The mean over all elements of (x - target)^2, 1 x 1. `target` must outlive the tape's step and
/// gets no gradient.
template <Backend B>
Var<typename B::Scalar> mean_squared_error(Tape<B>& tape, Var<typename B::Scalar> x,
                                           MatrixView<const typename B::Scalar> target) {
  using T = typename B::Scalar;
  expect_shape(target, x.rows(), x.cols(), "the target of a mean squared error");
  expect(!target.empty(), "mean squared error: expected elements, found none");
  auto loss = tape.result(1, 1, x);
  T* of_row = tape.template array<T>(x.rows());
  tape.backend().for_rows(x.rows(), [=, xv = x.value()] BRANCHLORA_BODY(auto team, Index i) {
    const T* xi = xv.row(i);
    const T* ti = target.row(i);
    of_row[i] = team.sum(xv.cols, [=](Index c) { return (xi[c] - ti[c]) * (xi[c] - ti[c]); }) /
                static_cast<T>(xv.size());
  });
  tape.backend().reduce_columns(
      x.rows(), 1, [=] BRANCHLORA_BODY(Index r, Index) { return of_row[r]; }, loss.value().data,
      false);
  tape.record(loss, MeanSquaredError<B>{x, loss, target});
  return loss;
}

}  // namespace branchlora::op
