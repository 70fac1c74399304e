/// @file
/// x plus a block of rows that repeats (position embeddings).
#pragma once

#include "branchlora/autograd/op/add.hpp"

namespace branchlora::op {

/// y[i] = x[i] + p[i mod p.rows].
template <Backend B>
struct AddRows {
  using T = typename B::Scalar;
  Var<T> x, p, y;

  void backward(Tape<B>& tape) const {
    pass_gradient(tape, x, y.grad(), T(1));
    if (!p.needs_grad()) return;
    const auto dy = y.grad();
    const auto sink = tape.gradient(p);
    tape.backend().for_rows(sink.view.rows, [=] BRANCHLORA_BODY(auto team, Index k) {
      auto* d = sink.view.row(k);
      if (!sink.add) team.loop(dy.cols, [=](Index c) { d[c] = T(0); });
      for (Index i = k; i < dy.rows; i += sink.view.rows) {
        const auto* g = dy.row(i);
        team.loop(dy.cols, [=](Index c) { d[c] += g[c]; });
      }
    });
  }
};

/// Adds the rows of p to those of x in turn; x.rows is a multiple of p.rows.
template <Backend B>
Var<typename B::Scalar> add_rows(Tape<B>& tape, Var<typename B::Scalar> x,
                                 Var<typename B::Scalar> p) {
  expect(p.cols() == x.cols() && x.rows() % p.rows() == 0,
         "repeated rows: {} x {} do not fit {} x {}", p.rows(), p.cols(), x.rows(), x.cols());
  auto y = tape.result(x.rows(), x.cols(), x, p);
  tape.backend().for_rows(x.rows(), [xv = x.value(), pv = p.value(),
                                     yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
    const auto* xi = xv.row(i);
    const auto* pi = pv.row(i % pv.rows);
    auto* yi = yv.row(i);
    team.loop(yv.cols, [=](Index c) { yi[c] = xi[c] + pi[c]; });
  });
  tape.record(y, AddRows<B>{x, p, y});
  return y;
}

}  // namespace branchlora::op
