/// @file
/// The same elements under another shape.
#pragma once

#include "branchlora/autograd/op/add.hpp"

namespace branchlora::op {

/// y shares its memory with x.
template <Backend B>
struct Reshape {
  using T = typename B::Scalar;
  Var<T> x, y;

  void backward(Tape<B>& tape) const {
    const MatrixView<const T> dy(y.grad().data, x.rows(), x.cols());
    pass_gradient(tape, x, dy, T(1));
  }
};

/// x (contiguous) as a rows x cols matrix.
template <Backend B>
Var<typename B::Scalar> reshape(Tape<B>& tape, Var<typename B::Scalar> x, Index rows, Index cols) {
  expect(x.value().contiguous() && rows * cols == x.value().size(),
         "reshape: {} x {} can not become {} x {}", x.rows(), x.cols(), rows, cols);
  auto y = tape.view({x.value().data, rows, cols}, x);
  tape.record(y, Reshape<B>{x, y});
  return y;
}

}  // namespace branchlora::op
