/// @file
/// Convolution along one axis.
#pragma once

#include "branchlora/autograd/op/linear.hpp"

namespace branchlora::op {

/// Windows of `kernel` neighbours that begin `stride` apart, the first `padding` before the signal;
/// outside of it there are zeros.
struct Window {
  Index kernel = 1;
  Index stride = 1;
  Index padding = 0;

  /// How many windows a signal of `length` has; throws unless there is one.
  Index count(Index length) const {
    const Index room = length + 2 * padding - kernel;
    expect(kernel > 0 && stride > 0 && padding >= 0 && length > 0 && room >= 0,
           "convolution: expected a window that fits the signal, found kernel {}, stride {}, "
           "padding {} and length {}",
           kernel, stride, padding, length);
    return room / stride + 1;
  }
};

namespace detail {

/// The signals in a matrix of `rows`; throws unless they are whole.
inline Index signals_in(Index rows, Index length) {
  expect(length > 0 && rows % length == 0,
         "convolution: expected rows in signals of {}, found {} rows", length, rows);
  return rows / length;
}

/// windows(b n + o, k C + c) = x(b length + o stride + k - padding, c), n windows a signal, zero
/// outside of the signal: one row a window.
template <Backend B>
void unfold(B& backend, MatrixView<const typename B::Scalar> x, Index length, const Window& w,
            MatrixView<typename B::Scalar> windows) {
  using T = typename B::Scalar;
  const Index n = w.count(length);
  backend.for_rows(windows.rows, [=] BRANCHLORA_BODY(auto team, Index r) {
    const Index first = r % n * w.stride - w.padding;
    const Index signal = r / n * length;
    for (Index k = 0; k < w.kernel; ++k) {
      T* to = windows.row(r) + k * x.cols;
      const Index i = first + k;
      if (i < 0 || i >= length) {
        team.loop(x.cols, [=](Index c) { to[c] = T(0); });
      } else {
        const T* from = x.row(signal + i);
        team.loop(x.cols, [=](Index c) { to[c] = from[c]; });
      }
    }
  });
}

/// The transpose of `unfold`: x(i, c) (+)= the sum of the places that element i has in windows.
template <Backend B>
void fold(B& backend, MatrixView<const typename B::Scalar> windows, Index length, const Window& w,
          MatrixView<typename B::Scalar> x, bool add) {
  using T = typename B::Scalar;
  const Index n = w.count(length);
  backend.for_rows(x.rows, [=] BRANCHLORA_BODY(auto team, Index r) {
    T* to = x.row(r);
    if (!add) team.loop(x.cols, [=](Index c) { to[c] = T(0); });
    for (Index k = 0; k < w.kernel; ++k) {
      const Index at = r % length + w.padding - k;
      if (at < 0 || at % w.stride != 0 || at / w.stride >= n) continue;
      const T* from = windows.row(r / length * n + at / w.stride) + k * x.cols;
      team.loop(x.cols, [=](Index c) { to[c] += from[c]; });
    }
  });
}

}  // namespace detail

/// y = unfold(x) w^T + b.
template <Backend B>
struct Conv1d {
  using T = typename B::Scalar;
  Var<T> x, w, b, y;
  MatrixView<T> windows;
  Index length;
  Window window;

  void backward(Tape<B>& tape) const {
    const MatrixView<const T> dy = y.grad();
    auto& backend = tape.backend();
    if (w.needs_grad()) {
      const auto [dw, add] = tape.gradient(w);
      backend.gemm(Op::transpose, Op::none, T(1), dy, windows, T(add ? 1 : 0), dw);
    }
    bias_gradient(tape, dy, b);
    if (x.needs_grad()) {
      const auto [dx, add] = tape.gradient(x);
      backend.gemm(Op::none, Op::none, T(1), dy, w.value(), T(0), windows);  // its last reader
      detail::fold(backend, MatrixView<const T>(windows), length, window, dx, add);
    }
  }
};

/// Convolves signals of `length` steps that lie one below the other, a step a row and a channel a
/// column: x (signals * length) x C, w out x (kernel * C) with the taps outermost, b 1 x out, to
/// (signals * window.count(length)) x out. Throws `Error` on shapes that do not fit.
template <Backend B>
Var<typename B::Scalar> conv1d(Tape<B>& tape, Var<typename B::Scalar> x, Var<typename B::Scalar> w,
                               Var<typename B::Scalar> b, Index length, const Window& window) {
  using T = typename B::Scalar;
  const Index rows = detail::signals_in(x.rows(), length) * window.count(length);
  expect_shape(w.value(), w.rows(), window.kernel * x.cols(), "the weight of a convolution");
  expect_shape(b.value(), 1, w.rows(), "the bias of a convolution");
  auto& backend = tape.backend();
  const auto windows = tape.scratch(rows, w.cols());
  detail::unfold(backend, MatrixView<const T>(x.value()), length, window, windows);
  auto y = tape.result(rows, w.rows(), x, w, b);
  backend.gemm(Op::none, Op::transpose, T(1), windows, w.value(), T(0), y.value());
  add_bias(backend, y.value(), MatrixView<const T>(b.value()));
  tape.record(y, Conv1d<B>{x, w, b, y, windows, length, window});
  return y;
}

}  // namespace branchlora::op
