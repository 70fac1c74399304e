/// @file
/// The Gaussian error linear unit (Hendrycks and Gimpel, arXiv 1606.08415).
#pragma once

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::op {

/// The exact form x Phi(x), as LLaVA's projector uses it.
struct ExactGelu {
  template <class T>
  BRANCHLORA_HD static T value(T x) {
    return x * T(0.5) * (T(1) + math::erf(x * T(0.7071067811865476)));
  }
  template <class T>
  BRANCHLORA_HD static T slope(T x) {
    const T cdf = T(0.5) * (T(1) + math::erf(x * T(0.7071067811865476)));
    return cdf + x * T(0.3989422804014327) * math::exp(T(-0.5) * x * x);
  }
};

/// The form x sigmoid(1.702 x), as CLIP uses it.
struct QuickGelu {
  template <class T>
  BRANCHLORA_HD static T value(T x) {
    return x * math::sigmoid(T(1.702) * x);
  }
  template <class T>
  BRANCHLORA_HD static T slope(T x) {
    const T s = math::sigmoid(T(1.702) * x);
    return s + T(1.702) * x * s * (T(1) - s);
  }
};

/// y = F(x), element by element.
template <Backend B, class F>
struct Elementwise {
  using T = typename B::Scalar;
  Var<T> x, y;

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const auto sink = tape.gradient(x);
    tape.backend().for_rows(dy.rows, [=, xv = x.value()] BRANCHLORA_BODY(auto team, Index i) {
      const T* xi = xv.row(i);
      const T* di = dy.row(i);
      T* out = sink.view.row(i);
      if (sink.add) {
        team.loop(dy.cols, [=](Index c) { out[c] += di[c] * F::slope(xi[c]); });
      } else {
        team.loop(dy.cols, [=](Index c) { out[c] = di[c] * F::slope(xi[c]); });
      }
    });
  }
};

/// Applies the function F (with `value` and `slope`) to every element.
template <class F, Backend B>
Var<typename B::Scalar> elementwise(Tape<B>& tape, Var<typename B::Scalar> x) {
  using T = typename B::Scalar;
  auto y = tape.result(x.rows(), x.cols(), x);
  tape.backend().for_rows(x.rows(),
                          [xv = x.value(), yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
                            const T* xi = xv.row(i);
                            T* yi = yv.row(i);
                            team.loop(yv.cols, [=](Index c) { yi[c] = F::value(xi[c]); });
                          });
  tape.record(y, Elementwise<B, F>{x, y});
  return y;
}

/// x Phi(x).
template <Backend B>
Var<typename B::Scalar> gelu(Tape<B>& tape, Var<typename B::Scalar> x) {
  return elementwise<ExactGelu>(tape, x);
}

/// x sigmoid(1.702 x).
template <Backend B>
Var<typename B::Scalar> quick_gelu(Tape<B>& tape, Var<typename B::Scalar> x) {
  return elementwise<QuickGelu>(tape, x);
}

}  // namespace branchlora::op
