/// @file
/// Products that other operations on the same rows are fused into, where the backend can: one pass
/// over the large matrix does them all. Any other backend does one after the other.
#pragma once

#include "branchlora/core/backend.hpp"
#include "branchlora/core/low_rank_term.hpp"
#include "branchlora/core/row_work.hpp"

namespace branchlora::fused {

/// Does `work` on all of `rows` rows.
template <Backend B>
void do_work(B& backend, const RowWork<B>& work, Index rows) {
  if constexpr (requires { backend.do_work(work, rows); }) {
    backend.do_work(work, rows);
  } else {
    if (work.rows) work.rows(backend, 0, rows);
    if (work.sums) work.sums(backend, 0, rows);
  }
}

/// y (+)= terms, those that are not empty.
template <Backend B, class T = typename B::Scalar>
void add_terms(B& backend, const LowRankTerms<T>& terms, MatrixView<T> y, bool add) {
  for (const auto& term : terms) {
    if (term.empty()) continue;
    backend.skinny_axpy(term.u, term.w, term.scale, y, add, term.chosen);
    add = true;
  }
}

/// y = x w^T + terms, once `work` is done on the rows of x: on each row before its terms are read.
template <Backend B, class T = typename B::Scalar>
void frozen_forward(B& backend, MatrixView<const T> x, const typename B::FrozenWeight& w,
                    MatrixView<T> y, const LowRankTerms<T>& terms, const RowWork<B>& work) {
  if constexpr (requires { backend.frozen_forward(x, w, y, terms, work); }) {
    backend.frozen_forward(x, w, y, terms, work);
  } else {
    do_work(backend, work, x.rows);
    backend.frozen_forward(x, w, y);
    add_terms(backend, terms, y, true);
  }
}

/// dx (+)= terms + dy w, once `work` is done on the rows of dy: on each row before its terms are
/// read. There must be a term.
template <Backend B, class T = typename B::Scalar>
void frozen_backward(B& backend, MatrixView<const T> dy, const typename B::FrozenWeight& w,
                     MatrixView<T> dx, bool add, const LowRankTerms<T>& terms,
                     const RowWork<B>& work) {
  if constexpr (requires { backend.frozen_backward(dy, w, dx, add, terms, work); }) {
    backend.frozen_backward(dy, w, dx, add, terms, work);
  } else {
    do_work(backend, work, dy.rows);
    add_terms(backend, terms, dx, add);
    backend.frozen_backward(dy, w, dx, true);
  }
}

}  // namespace branchlora::fused
