/// @file
/// Dropout (Srivastava et al., JMLR 15, 2014).
#pragma once

#include "branchlora/autograd/op/add.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora::op {

/// y = mask * x, where the mask holds 0 or 1 / (1 - p).
template <Backend B>
struct Dropout {
  using T = typename B::Scalar;
  Var<T> x, y;
  MatrixView<T> mask;

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const auto sink = tape.gradient(x);
    tape.backend().for_rows(dy.rows, [=, m = mask] BRANCHLORA_BODY(auto team, Index i) {
      const T* di = dy.row(i);
      const T* mi = m.row(i);
      T* out = sink.view.row(i);
      team.loop(dy.cols, [=, add = sink.add](Index c) {
        out[c] = add ? out[c] + mi[c] * di[c] : mi[c] * di[c];
      });
    });
  }
};

/// Sets each element to zero with probability `p` and scales the rest by 1 / (1 - p). Element
/// (i, c) is decided by random number i * cols + c of `random` alone.
template <Backend B>
Var<typename B::Scalar> dropout(Tape<B>& tape, Var<typename B::Scalar> x, double p,
                                const Random& random) {
  using T = typename B::Scalar;
  expect(p >= 0 && p < 1, "dropout: expected a probability in [0, 1), found {}", p);
  if (p == 0) return x;
  auto y = tape.result(x.rows(), x.cols(), x);
  const auto mask = tape.scratch(x.rows(), x.cols());
  const T keep = static_cast<T>(1.0 / (1.0 - p));
  tape.backend().for_rows(
      x.rows(), [=, xv = x.value(), yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
        const T* xi = xv.row(i);
        T* yi = yv.row(i);
        T* mi = mask.row(i);
        team.loop(xv.cols, [=](Index c) {
          mi[c] = random.uniform(static_cast<std::uint64_t>(i * xv.cols + c)) < p ? T(0) : keep;
          yi[c] = mi[c] * xi[c];
        });
      });
  tape.record(y, Dropout<B>{x, y, mask});
  return y;
}

}  // namespace branchlora::op
