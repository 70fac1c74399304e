/// @file
/// a + b.
#pragma once

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// grad (+)= scale * dy, for inputs that pass their gradient on.
template <Backend B>
void pass_gradient(Tape<B>& tape, Var<typename B::Scalar> input,
                   MatrixView<const typename B::Scalar> dy, typename B::Scalar scale) {
  if (!input.needs_grad()) return;
  const auto sink = tape.gradient(input);
  tape.backend().for_rows(dy.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
    auto* d = sink.view.row(i);
    const auto* g = dy.row(i);
    if (sink.add) {
      team.loop(dy.cols, [=](Index c) { d[c] += scale * g[c]; });
    } else {
      team.loop(dy.cols, [=](Index c) { d[c] = scale * g[c]; });
    }
  });
}

/// y = a + scale * b, all of one shape.
template <Backend B>
struct Add {
  using T = typename B::Scalar;
  Var<T> a, b, y;
  T scale;

  void backward(Tape<B>& tape) const {
    pass_gradient(tape, a, y.grad(), T(1));
    pass_gradient(tape, b, y.grad(), scale);
  }
};

/// a + scale * b, element by element.
template <Backend B>
Var<typename B::Scalar> add(Tape<B>& tape, Var<typename B::Scalar> a, Var<typename B::Scalar> b,
                            typename B::Scalar scale = 1) {
  expect_shape(b.value(), a.rows(), a.cols(), "the second term of a sum");
  auto y = tape.result(a.rows(), a.cols(), a, b);
  tape.backend().for_rows(a.rows(), [=, av = a.value(), bv = b.value(),
                                     yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
    const auto* ai = av.row(i);
    const auto* bi = bv.row(i);
    auto* yi = yv.row(i);
    team.loop(yv.cols, [=](Index c) { yi[c] = ai[c] + scale * bi[c]; });
  });
  tape.record(y, Add<B>{a, b, y, scale});
  return y;
}

}  // namespace branchlora::op
