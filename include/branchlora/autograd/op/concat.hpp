/// @file
/// Two matrices side by side.
#pragma once

#include "branchlora/autograd/op/add.hpp"

namespace branchlora::op {

/// y = [a, b].
template <Backend B>
struct Concat {
  using T = typename B::Scalar;
  Var<T> a, b, y;

  void backward(Tape<B>& tape) const {
    pass_gradient(tape, a, y.grad().middle_cols(0, a.cols()), T(1));
    pass_gradient(tape, b, y.grad().middle_cols(a.cols(), b.cols()), T(1));
  }
};

/// The columns of a and behind them those of b, which has as many rows.
template <Backend B>
Var<typename B::Scalar> concat(Tape<B>& tape, Var<typename B::Scalar> a,
                               Var<typename B::Scalar> b) {
  expect_shape(b.value(), a.rows(), b.cols(), "the right side of two matrices");
  auto y = tape.result(a.rows(), a.cols() + b.cols(), a, b);
  tape.backend().copy(a.value(), y.value().middle_cols(0, a.cols()));
  tape.backend().copy(b.value(), y.value().middle_cols(a.cols(), b.cols()));
  tape.record(y, Concat<B>{a, b, y});
  return y;
}

}  // namespace branchlora::op
