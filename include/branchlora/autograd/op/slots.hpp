/// @file
/// Rows for several experts of each token, and back: slot t * k + j belongs to token t.
#pragma once

#include "branchlora/autograd/tape.hpp"

namespace branchlora::op {

/// Every row of x `k` times.
template <Backend B>
struct RepeatRows {
  using T = typename B::Scalar;
  Var<T> x, y;
  Index k;

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const auto sink = tape.gradient(x);
    tape.backend().for_rows(x.rows(), [=, n = k] BRANCHLORA_BODY(auto team, Index t) {
      T* to = sink.view.row(t);
      team.loop(dy.cols, [=, add = sink.add](Index c) {
        T sum = add ? to[c] : T(0);
        for (Index j = 0; j < n; ++j) sum += dy(t * n + j, c);
        to[c] = sum;
      });
    });
  }
};

/// Each row of x (tokens x cols) `k` times, one below the other: tokens k x cols.
template <Backend B>
Var<typename B::Scalar> repeat_rows(Tape<B>& tape, Var<typename B::Scalar> x, Index k) {
  using T = typename B::Scalar;
  auto y = tape.result(x.rows() * k, x.cols(), x);
  tape.backend().for_rows(y.rows(),
                          [=, xv = x.value(), yv = y.value()] BRANCHLORA_BODY(auto team, Index i) {
                            const T* from = xv.row(i / k);
                            T* to = yv.row(i);
                            team.loop(xv.cols, [=](Index c) { to[c] = from[c]; });
                          });
  tape.record(y, RepeatRows<B>{x, y, k});
  return y;
}

/// y_t = sum over j of w_tj x_{t k + j}.
template <Backend B>
struct WeighRows {
  using T = typename B::Scalar;
  Var<T> x, w, y;

  void backward(Tape<B>& tape) const {
    const auto dy = y.grad();
    const Index k = w.cols();
    if (x.needs_grad()) {
      const auto sink = tape.gradient(x);
      tape.backend().for_rows(x.rows(), [=, wv = w.value()] BRANCHLORA_BODY(auto team, Index i) {
        const T weight = wv(i / k, i % k);
        const T* from = dy.row(i / k);
        T* to = sink.view.row(i);
        team.loop(dy.cols, [=, add = sink.add](Index c) {
          to[c] = add ? to[c] + weight * from[c] : weight * from[c];
        });
      });
    }
    if (w.needs_grad()) {
      const auto sink = tape.gradient(w);
      tape.backend().for_rows(x.rows(), [=, xv = x.value()] BRANCHLORA_BODY(auto team, Index i) {
        const T* xi = xv.row(i);
        const T* di = dy.row(i / k);
        const T dot = team.sum(dy.cols, [=](Index c) { return xi[c] * di[c]; });
        T& to = sink.view(i / k, i % k);
        to = sink.add ? to + dot : dot;
      });
    }
  }
};

/// The rows of x (tokens k x cols) weighted and added up for each token, with w of tokens x k.
template <Backend B>
Var<typename B::Scalar> weigh_rows(Tape<B>& tape, Var<typename B::Scalar> x,
                                   Var<typename B::Scalar> w) {
  using T = typename B::Scalar;
  expect_shape(x.value(), w.value().size(), x.cols(), "the rows to weigh");
  auto y = tape.result(w.rows(), x.cols(), x, w);
  tape.backend().for_rows(w.rows(), [xv = x.value(), wv = w.value(),
                                     yv = y.value()] BRANCHLORA_BODY(auto team, Index t) {
    T* to = yv.row(t);
    team.loop(xv.cols, [=](Index c) {
      T sum = 0;
      for (Index j = 0; j < wv.cols; ++j) sum += wv(t, j) * xv(t * wv.cols + j, c);
      to[c] = sum;
    });
  });
  tape.record(y, WeighRows<B>{x, w, y});
  return y;
}

}  // namespace branchlora::op
