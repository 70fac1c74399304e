/// @file
/// A part of a model that is run twice, so that its values need not be kept (Chen et al., arXiv
/// 1604.06174).
#pragma once

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// y = f(x), of which x and y alone are kept.
template <Backend B, class F>
struct Recompute {
  using T = typename B::Scalar;
  Var<T> x, y;
  F f;

  void backward(Tape<B>& tape) const {
    Tape<B>& inner = tape.nested();
    inner.reset();
    inner.set_recording(true);
    Var<T> again = inner.constant(x.value());
    GradientSink<T> dx{};
    if (x.needs_grad()) {
      // The nested x has its gradient where the outer one has: who writes first writes there.
      dx = tape.gradient(x);
      again.node()->needs_grad = true;
      again.node()->grad = dx.view;
      again.node()->has_grad = dx.add;
    }
    const Var<T> result = f(inner, again, true);
    if (result.needs_grad()) inner.backward(result, y.node()->grad, tape);
    if (x.needs_grad() && !again.has_grad()) tape.backend().fill(dx.view, T(0));
  }
};

/// f(tape, x, false), any part of a model that is a function of x and parameters. None of its
/// values but the result is kept: in the backward pass, f(tape, x, true) calculates them again.
/// They lie on the nested tape, which one such part has at a time, so none may be within another.
///
/// f is trivially destructible, what it refers to outlives the step, and it calculates the same
/// each time. The second time it must leave out what is to happen once.
template <Backend B, class F>
Var<typename B::Scalar> recompute(Tape<B>& tape, Var<typename B::Scalar> x, F f) {
  if (!tape.recording()) return f(tape, x, false);
  Tape<B>& inner = tape.nested();
  inner.reset();
  inner.set_recording(false);
  const auto result = f(inner, inner.constant(x.value()), false).value();
  const auto y = tape.result(result.rows, result.cols, x);
  y.node()->needs_grad = true;  // For the parameters of f.
  tape.backend().copy(result, y.value());
  tape.record(y, Recompute<B, F>{x, y, f});
  return y;
}

}  // namespace branchlora::op
