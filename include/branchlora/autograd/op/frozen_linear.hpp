/// @file
/// y = x w^T with a weight that never changes.
#pragma once

#include "branchlora/autograd/op/linear.hpp"

namespace branchlora::op {

/// The frozen product. `w` must outlive the tape's step.
template <Backend B>
struct FrozenLinear {
  using T = typename B::Scalar;
  Var<T> x, y;
  const typename B::FrozenWeight* w;

  void backward(Tape<B>& tape) const {
    const auto [dx, add] = tape.gradient(x);
    tape.backend().frozen_backward(y.grad(), *w, dx, add);
  }
};

/// x (tokens x in) times the transpose of the frozen w (out x in), plus `bias` (1 x out) unless
/// it is empty.
template <Backend B>
Var<typename B::Scalar> frozen_linear(Tape<B>& tape, Var<typename B::Scalar> x,
                                      const typename B::FrozenWeight& w,
                                      MatrixView<const typename B::Scalar> bias = {}) {
  auto y = tape.result(x.rows(), w.weight.rows, x);
  if (bias.empty()) {
    tape.backend().frozen_forward(x.value(), w, y.value());
  } else {
    affine(tape.backend(), x.value(), w, bias, y.value());
  }
  tape.record(y, FrozenLinear<B>{x, y, &w});
  return y;
}

}  // namespace branchlora::op
