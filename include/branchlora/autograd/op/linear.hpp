/// @file
/// y = x w^T + b.
#pragma once

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// A backend that adds a bias within a product, and sums a bias' gradient within that of the
/// weight:
///
/// - `affine(x, w, bias, y)`, `frozen_affine(x, w, bias, y)`: y = x w^T + bias in each row.
/// - `affine_backward(dy, x, dw, add, dbias, add_bias)`: dw (+)= dy^T x, and dbias (+)= the sums of
///   dy's columns.
template <class B>
concept FusesBias = Backend<B> &&
    requires(B& b, MatrixView<typename B::Scalar> m, MatrixView<const typename B::Scalar> c,
             const typename B::FrozenWeight& w, typename B::Scalar* out) {
  b.affine(c, c, c, m);
  b.frozen_affine(c, w, c, m);
  b.affine_backward(c, c, m, false, out, true);
};

/// Adds the column sums of `dy` to the gradient of a bias.
template <Backend B>
void bias_gradient(Tape<B>& tape, MatrixView<const typename B::Scalar> dy,
                   Var<typename B::Scalar> bias) {
  if (!bias.needs_grad()) return;
  const auto [db, add] = tape.gradient(bias);
  tape.backend().reduce_columns(
      dy.rows, dy.cols, [=] BRANCHLORA_BODY(Index r, Index c) { return dy(r, c); }, db.data, add);
}

/// Adds a bias (1 x n) to every row of y.
template <Backend B>
void add_bias(B& backend, MatrixView<typename B::Scalar> y,
              MatrixView<const typename B::Scalar> bias) {
  backend.for_rows(y.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
    auto* yi = y.row(i);
    team.loop(y.cols, [=](Index c) { yi[c] += bias.data[c]; });
  });
}

/// y = x w^T + bias in each row.
template <Backend B>
void affine(B& backend, MatrixView<const typename B::Scalar> x,
            MatrixView<const typename B::Scalar> w, MatrixView<const typename B::Scalar> bias,
            MatrixView<typename B::Scalar> y) {
  using T = typename B::Scalar;
  if constexpr (FusesBias<B>) {
    backend.affine(x, w, bias, y);
  } else {
    backend.gemm(Op::none, Op::transpose, T(1), x, w, T(0), y);
    add_bias(backend, y, bias);
  }
}

/// The same with a frozen weight.
template <Backend B>
void affine(B& backend, MatrixView<const typename B::Scalar> x, const typename B::FrozenWeight& w,
            MatrixView<const typename B::Scalar> bias, MatrixView<typename B::Scalar> y) {
  if constexpr (FusesBias<B>) {
    backend.frozen_affine(x, w, bias, y);
  } else {
    backend.frozen_forward(x, w, y);
    add_bias(backend, y, bias);
  }
}

/// y = x w^T + b with x tokens x in, w out x in, b 1 x out or absent.
template <Backend B>
struct Linear {
  using T = typename B::Scalar;
  Var<T> x, w, b, y;
  bool has_bias;

  void backward(Tape<B>& tape) const {
    const MatrixView<const T> dy = y.grad();
    auto& backend = tape.backend();
    if (x.needs_grad()) {
      const auto [dx, add] = tape.gradient(x);
      backend.gemm(Op::none, Op::none, T(1), dy, w.value(), T(add ? 1 : 0), dx);
    }
    if constexpr (FusesBias<B>) {
      if (has_bias && w.needs_grad() && b.needs_grad()) {
        const auto [dw, add] = tape.gradient(w);
        const auto [db, add_bias] = tape.gradient(b);
        backend.affine_backward(dy, x.value(), dw, add, db.data, add_bias);
        return;
      }
    }
    if (w.needs_grad()) {
      const auto [dw, add] = tape.gradient(w);
      backend.gemm(Op::transpose, Op::none, T(1), dy, x.value(), T(add ? 1 : 0), dw);
    }
    if (has_bias) bias_gradient(tape, dy, b);
  }
};

/// x (tokens x in) times the transpose of w (out x in).
template <Backend B>
Var<typename B::Scalar> linear(Tape<B>& tape, Var<typename B::Scalar> x,
                               Var<typename B::Scalar> w) {
  using T = typename B::Scalar;
  auto y = tape.result(x.rows(), w.rows(), x, w);
  tape.backend().gemm(Op::none, Op::transpose, T(1), x.value(), w.value(), T(0), y.value());
  tape.record(y, Linear<B>{x, w, {}, y, false});
  return y;
}

/// The same plus a bias b (1 x out).
template <Backend B>
Var<typename B::Scalar> linear(Tape<B>& tape, Var<typename B::Scalar> x, Var<typename B::Scalar> w,
                               Var<typename B::Scalar> b) {
  using T = typename B::Scalar;
  expect_shape(b.value(), 1, w.rows(), "the bias of a linear layer");
  auto y = tape.result(x.rows(), w.rows(), x, w, b);
  affine(tape.backend(), MatrixView<const T>(x.value()), w.value(), b.value(), y.value());
  tape.record(y, Linear<B>{x, w, b, y, true});
  return y;
}

}  // namespace branchlora::op
