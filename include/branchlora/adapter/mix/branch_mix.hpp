/// @file
/// The mix of branches: from the down projection of a token to what goes up.
#pragma once

#include <cstdint>

#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::mix {

/// z_i = g_i u_i for each chosen branch i, where u_i is the shared u if `Shared`, else block i of
/// u. `Rank` rows a branch, `Chosen` branches a token.
///
/// Both functions work on one token and allocate nothing. u holds Rank scalars (shared) or a block
/// of Rank for each branch; z a block of Rank for each branch, zeros for those that were not
/// chosen; gates one scalar for each branch.
template <bool Shared, Index Rank, Index Branches, Index Chosen>
struct BranchMix {
  template <class T>
  BRANCHLORA_HD static void forward(const T* u, const T* gates, const std::int32_t* chosen, T* z) {
    if constexpr (Chosen < Branches) {
      for (Index q = 0; q < Branches * Rank; ++q) z[q] = T(0);
    }
    for (Index k = 0; k < Chosen; ++k) {
      const Index b = chosen[k];
      const T* ub = Shared ? u : u + b * Rank;
      for (Index q = 0; q < Rank; ++q) z[b * Rank + q] = gates[b] * ub[q];
    }
  }

  /// Writes du and the chosen entries of dgates. Reads the chosen blocks of dz only.
  template <class T>
  BRANCHLORA_HD static void backward(const T* u, const T* gates, const std::int32_t* chosen,
                                     const T* dz, T* du, T* dgates) {
    if constexpr (Shared || Chosen < Branches) {
      for (Index q = 0; q < (Shared ? Rank : Branches * Rank); ++q) du[q] = T(0);
    }
    for (Index k = 0; k < Chosen; ++k) {
      const Index b = chosen[k];
      const T* ub = Shared ? u : u + b * Rank;
      const T* dzb = dz + b * Rank;
      T* dub = Shared ? du : du + b * Rank;
      T dot = 0;
      for (Index q = 0; q < Rank; ++q) {
        dot += dzb[q] * ub[q];
        const T d = gates[b] * dzb[q];
        if constexpr (Shared) {
          dub[q] += d;
        } else {
          dub[q] = d;
        }
      }
      dgates[b] = dot;
    }
  }
};

/// z of a token of a batch, from u and its gates. `Mix` is a `BranchMix`.
template <class Mix, class T>
struct Forward {
  MatrixView<const T> u;
  MatrixView<T> z;

  template <class Pass>
  BRANCHLORA_HD void operator()(const Pass& g, Index t) const {
    Mix::forward(u.row(t), g.weights.row(g.unit(t)), g.chosen_of(t), z.row(t));
  }
};

/// From the gradient of a token's z to those of u and of the gates of the branches it chose.
template <class Mix, class T>
struct Backward {
  MatrixView<const T> u, dz;
  MatrixView<T> du, dgates;

  template <class Pass>
  BRANCHLORA_HD void operator()(const Pass& g, Index t) const {
    Mix::backward(u.row(t), g.weights.row(g.unit(t)), g.chosen_of(t), dz.row(t), du.row(t),
                  dgates.row(t));
  }
};

}  // namespace branchlora::mix
