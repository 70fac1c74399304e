/// @file
/// The gated unit of LLaMA's feed-forward layer (Shazeer, arXiv 2002.05202).
#pragma once

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::op {

/// y = gate * sigmoid(gate) * up.
template <Backend B>
struct SwiGlu {
  using T = typename B::Scalar;
  Var<T> gate, up, y;

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const auto g = gate.value();
    const auto u = up.value();
    if (gate.needs_grad()) {
      const auto sink = tape.gradient(gate);
      tape.backend().for_rows(dy.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
        const T* gi = g.row(i);
        const T* ui = u.row(i);
        const T* di = dy.row(i);
        T* out = sink.view.row(i);
        team.loop(dy.cols, [=, add = sink.add](Index c) {
          const T s = math::sigmoid(gi[c]);
          const T d = di[c] * ui[c] * s * (T(1) + gi[c] * (T(1) - s));
          out[c] = add ? out[c] + d : d;
        });
      });
    }
    if (up.needs_grad()) {
      const auto sink = tape.gradient(up);
      tape.backend().for_rows(dy.rows, [=] BRANCHLORA_BODY(auto team, Index i) {
        const T* gi = g.row(i);
        const T* di = dy.row(i);
        T* out = sink.view.row(i);
        team.loop(dy.cols, [=, add = sink.add](Index c) {
          const T d = di[c] * gi[c] * math::sigmoid(gi[c]);
          out[c] = add ? out[c] + d : d;
        });
      });
    }
  }
};

/// silu(gate) * up, element by element.
template <Backend B>
Var<typename B::Scalar> swiglu(Tape<B>& tape, Var<typename B::Scalar> gate,
                               Var<typename B::Scalar> up) {
  using T = typename B::Scalar;
  expect_shape(up.value(), gate.rows(), gate.cols(), "the second input of SwiGLU");
  auto y = tape.result(gate.rows(), gate.cols(), gate, up);
  tape.backend().for_rows(gate.rows(), [g = gate.value(), u = up.value(),
                                        yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
    const T* gi = g.row(i);
    const T* ui = u.row(i);
    T* yi = yv.row(i);
    team.loop(yv.cols, [=](Index c) { yi[c] = gi[c] * math::sigmoid(gi[c]) * ui[c]; });
  });
  tape.record(y, SwiGlu<B>{gate, up, y});
  return y;
}

}  // namespace branchlora::op
