/// @file
/// Rows picked from one matrix or from two.
#pragma once

#include <cstdint>
#include <span>

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

namespace detail {

/// d[target(i)] += scale * dy[i] over all i with a target; columns run in parallel, rows in order.
template <Backend B, class Target>
void scatter_add(Tape<B>& tape, Var<typename B::Scalar> input,
                 MatrixView<const typename B::Scalar> dy, typename B::Scalar scale, Target target) {
  using T = typename B::Scalar;
  if (!input.needs_grad()) return;
  const auto [d, add] = tape.gradient(input);
  if (!add) tape.backend().fill(d, T(0));
  tape.backend().scatter_add_rows(dy, d, scale, target);
}

}  // namespace detail

/// y[i] = scale * a[index[i]], or b[-1 - index[i]] where the index is negative.
template <Backend B>
struct Gather {
  using T = typename B::Scalar;
  Var<T> a, b, y;
  const std::int32_t* index;
  T scale;
  bool two;

  void backward(Tape<B>& tape) const {
    const auto* ix = index;
    detail::scatter_add(tape, a, y.grad(), scale,
                        [=] BRANCHLORA_BODY(Index i) { return Index{ix[i]}; });
    if (two) {
      detail::scatter_add(tape, b, y.grad(), T(1),
                          [=] BRANCHLORA_BODY(Index i) { return Index{-1 - ix[i]}; });
    }
  }
};

/// scale * a[index[i]] for each i: an embedding look-up when a is a table.
template <Backend B>
Var<typename B::Scalar> gather(Tape<B>& tape, Var<typename B::Scalar> a,
                               std::span<const std::int32_t> index, typename B::Scalar scale = 1) {
  using T = typename B::Scalar;
  for (const auto i : index) {
    expect(i >= 0 && i < a.rows(), "gather: row {} of a matrix of {} rows", i, a.rows());
  }
  const std::int32_t* ix = tape.upload(index);
  auto y = tape.result(static_cast<Index>(index.size()), a.cols(), a);
  tape.backend().for_rows(y.rows(),
                          [=, av = a.value(), yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
                            const T* from = av.row(ix[i]);
                            T* to = yv.row(i);
                            team.loop(yv.cols, [=](Index c) { to[c] = scale * from[c]; });
                          });
  tape.record(y, Gather<B>{a, {}, y, ix, scale, false});
  return y;
}

/// Rows of two matrices in a new order: a[i] for index i >= 0, b[-1 - i] for i < 0.
template <Backend B>
Var<typename B::Scalar> interleave(Tape<B>& tape, Var<typename B::Scalar> a,
                                   Var<typename B::Scalar> b, std::span<const std::int32_t> index) {
  using T = typename B::Scalar;
  expect(a.cols() == b.cols(), "interleave: widths {} and {} differ", a.cols(), b.cols());
  for (const auto i : index) {
    expect(i < a.rows() && -1 - i < b.rows(), "interleave: index {} outside of {} and {} rows", i,
           a.rows(), b.rows());
  }
  const std::int32_t* ix = tape.upload(index);
  auto y = tape.result(static_cast<Index>(index.size()), a.cols(), a, b);
  tape.backend().for_rows(y.rows(), [=, av = a.value(), bv = b.value(),
                                     yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
    const T* from = ix[i] >= 0 ? av.row(ix[i]) : bv.row(-1 - ix[i]);
    T* to = yv.row(i);
    team.loop(yv.cols, [=](Index c) { to[c] = from[c]; });
  });
  tape.record(y, Gather<B>{a, b, y, ix, T(1), true});
  return y;
}

}  // namespace branchlora::op
