/// @file
/// The products of a low-rank factor where each token uses some of its row blocks only. Where it
/// uses all of them, they are plain products.
#pragma once

#include "branchlora/core/chosen.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::cuda::skinny {

/// Throws `Error` unless a choice fits a factor of `rows` rows.
inline void expect_chosen(const Chosen& chosen, Index rows) {
  expect(chosen.everything() || (chosen.block > 0 && chosen.k > 0 && rows % chosen.block == 0 &&
                                 chosen.k <= rows / chosen.block),
         "skinny product: a choice of {} blocks of {} rows does not fit a factor of {} rows",
         chosen.k, chosen.block, rows);
}

/// The row of the factor that is number `i` of those which token `t` uses.
BRANCHLORA_HD inline Index chosen_row(const Chosen& chosen, Index t, Index i) {
  return chosen.table[t * chosen.k + i / chosen.block] * chosen.block + i % chosen.block;
}

/// One token of u (+)= scale x w^T; rows that were not chosen become 0, or stay as they are.
template <class T>
struct Dot {
  MatrixView<const T> x, w;
  T scale;
  MatrixView<T> u;
  bool add;
  Chosen chosen;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index t) const {
    const T* xt = x.row(t);
    T* ut = u.row(t);
    if (!add) team.loop(u.cols, [=](Index j) { ut[j] = T(0); });
    for (Index i = 0; i < chosen.k * chosen.block; ++i) {
      const Index j = chosen_row(chosen, t, i);
      const T* wj = w.row(j);
      const T dot = scale * team.sum(x.cols, [=](Index c) { return xt[c] * wj[c]; });
      team.loop(1, [=](Index) { ut[j] += dot; });
    }
  }
};

/// One token of y (+)= scale u w.
template <class T>
struct Axpy {
  MatrixView<const T> u, w;
  T scale;
  MatrixView<T> y;
  bool add;
  Chosen chosen;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index t) const {
    const T* ut = u.row(t);
    T* yt = y.row(t);
    team.loop(y.cols, [=, w_ = w, scale_ = scale, add_ = add, chosen_ = chosen](Index c) {
      T sum = 0;
      for (Index i = 0; i < chosen_.k * chosen_.block; ++i) {
        const Index j = chosen_row(chosen_, t, i);
        sum += ut[j] * w_(j, c);
      }
      yt[c] = add_ ? yt[c] + scale_ * sum : scale_ * sum;
    });
  }
};

/// to = u where chosen and 0 elsewhere, so that a plain product can take its place. Elements that
/// were not chosen are not read: they may hold anything.
template <class T>
struct Mask {
  MatrixView<const T> u;
  MatrixView<T> to;
  Chosen chosen;

  BRANCHLORA_BODY void operator()(Index element) const {
    const Index t = element / u.cols;
    const Index j = element % u.cols;
    bool used = false;
    for (Index k = 0; k < chosen.k; ++k) {
      used = used || chosen.table[t * chosen.k + k] == j / chosen.block;
    }
    to(t, j) = used ? u(t, j) : T(0);
  }
};

}  // namespace branchlora::cuda::skinny
