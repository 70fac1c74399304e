/// @file
/// Transposed convolution along one axis: a convolution's backward pass as a layer.
#pragma once

#include "branchlora/autograd/op/conv1d.hpp"

namespace branchlora::op {

/// y = fold(x w) + b.
template <Backend B>
struct ConvTranspose1d {
  using T = typename B::Scalar;
  Var<T> x, w, b, y;
  MatrixView<T> windows;
  Index out_length;
  Window window;

  void backward(Tape<B>& tape) const {
    const MatrixView<const T> dy = y.grad();
    auto& backend = tape.backend();
    bias_gradient(tape, dy, b);
    if (!x.needs_grad() && !w.needs_grad()) return;
    detail::unfold(backend, dy, out_length, window, windows);
    if (x.needs_grad()) {
      const auto [dx, add] = tape.gradient(x);
      backend.gemm(Op::none, Op::transpose, T(1), windows, w.value(), T(add ? 1 : 0), dx);
    }
    if (w.needs_grad()) {
      const auto [dw, add] = tape.gradient(w);
      backend.gemm(Op::transpose, Op::none, T(1), x.value(), windows, T(add ? 1 : 0), dw);
    }
  }
};

/// Spreads signals of `window.count(out_length)` steps to `out_length` steps, by the transpose of
/// the convolution that goes the other way: x (signals * count) x C, w C x (kernel * out) with the
/// taps outermost, b 1 x out, to (signals * out_length) x out. With kernel 7, stride 2 and padding
/// 3 an even `out_length` is twice the length of x. Throws `Error` on shapes that do not fit.
template <Backend B>
Var<typename B::Scalar> conv_transpose1d(Tape<B>& tape, Var<typename B::Scalar> x,
                                         Var<typename B::Scalar> w, Var<typename B::Scalar> b,
                                         Index out_length, const Window& window) {
  using T = typename B::Scalar;
  const Index signals = detail::signals_in(x.rows(), window.count(out_length));
  expect_shape(w.value(), x.cols(), window.kernel * b.cols(),
               "the weight of a transposed convolution");
  expect_shape(b.value(), 1, b.cols(), "the bias of a transposed convolution");
  auto& backend = tape.backend();
  const auto windows = tape.scratch(x.rows(), w.cols());
  backend.gemm(Op::none, Op::none, T(1), x.value(), w.value(), T(0), windows);
  auto y = tape.result(signals * out_length, b.cols(), x, w, b);
  detail::fold(backend, MatrixView<const T>(windows), out_length, window, y.value(), false);
  add_bias(backend, y.value(), MatrixView<const T>(b.value()));
  tape.record(y, ConvTranspose1d<B>{x, w, b, y, windows, out_length, window});
  return y;
}

}  // namespace branchlora::op
