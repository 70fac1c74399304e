/// @file
/// Pairs of primitives that read or write one large matrix: done at once by a backend that can, and
/// one after the other by any.
#pragma once

#include "branchlora/core/backend.hpp"
#include "branchlora/core/low_rank_term.hpp"

namespace branchlora::fused {

/// y = x w^T + term.
template <Backend B, class T = typename B::Scalar>
void frozen_forward(B& backend, MatrixView<const T> x, const typename B::FrozenWeight& w,
                    MatrixView<T> y, const LowRankTerm<T>& term) {
  if constexpr (requires { backend.frozen_forward(x, w, y, term); }) {
    backend.frozen_forward(x, w, y, term);
  } else {
    backend.frozen_forward(x, w, y);
    backend.skinny_axpy(term.u, term.w, term.scale, y, true, term.chosen);
  }
}

/// dx (+)= term + dy w.
template <Backend B, class T = typename B::Scalar>
void frozen_backward(B& backend, MatrixView<const T> dy, const typename B::FrozenWeight& w,
                     MatrixView<T> dx, bool add, const LowRankTerm<T>& term) {
  if constexpr (requires { backend.frozen_backward(dy, w, dx, add, term); }) {
    backend.frozen_backward(dy, w, dx, add, term);
  } else {
    backend.skinny_axpy(term.u, term.w, term.scale, dx, add, term.chosen);
    backend.frozen_backward(dy, w, dx, true);
  }
}

/// The way back through y = scale z w, to z and to w: dz = scale dy w^T and g (+)= scale z^T dy.
template <Backend B, class T = typename B::Scalar>
void skinny_backward(B& backend, MatrixView<const T> dy, MatrixView<const T> w, T scale,
                     MatrixView<T> dz, MatrixView<const T> z, MatrixView<T> g, bool add,
                     Chosen chosen) {
  if constexpr (requires { backend.skinny_backward(dy, w, scale, dz, z, g, add, chosen); }) {
    backend.skinny_backward(dy, w, scale, dz, z, g, add, chosen);
  } else {
    backend.skinny_dot(dy, w, scale, dz, false, chosen);
    backend.skinny_outer(z, dy, scale, g, add, chosen);
  }
}

}  // namespace branchlora::fused
