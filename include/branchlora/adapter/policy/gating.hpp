/// @file
/// Policy: how scores become gate weights.
#pragma once

#include "branchlora/adapter/policy/gating/rank_prefix.hpp"
#include "branchlora/adapter/policy/gating/renormalised.hpp"
#include "branchlora/adapter/policy/gating/softmax_top_k.hpp"
#include "branchlora/adapter/policy/gating/threshold.hpp"
#include "branchlora/adapter/policy/gating/top_p.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

/// A gating without biases: see `GatingPolicy`.
template <class P>
concept UnbiasedGating = requires(const double* in, BranchSet allowed, double* out,
                                  std::int32_t* chosen) {
  P::template forward<2, 1>(in, allowed, out, out, chosen);
};
/// A gating that is given a bias of each branch: see `GatingPolicy`.
template <class P>
concept BiasedGating = requires(const double* in, BranchSet allowed, double* out,
                                std::int32_t* chosen) {
  P::template forward<2, 1>(in, in, allowed, out, out, chosen);
};

namespace category {
/// How scores become weights. Default: `gating::TopKThenSoftmax`. Without top-k all forms agree.
struct Gating {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool forward = UnbiasedGating<P> || BiasedGating<P>;
    static_assert(forward || !say,
                  "A policy of category::Gating lacks `static void forward<N, K>(const T* logits, "
                  "BranchSet allowed, T* saved, T* weights, std::int32_t* chosen)`: from scores to "
                  "weights (`const T* bias` comes second, if it takes one).");
    constexpr bool backward = requires(const double* in, double* out, const std::int32_t* chosen) {
      P::template backward<2, 1>(in, in, chosen, in, out);
    };
    static_assert(backward || !say,
                  "A policy of category::Gating lacks `static void backward<N, K>(const T* saved, "
                  "const T* weights, const std::int32_t* chosen, const T* dweights, T* dlogits)`: "
                  "the gradient of the scores.");
    return forward && backward;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = gating::TopKThenSoftmax;
};
}  // namespace category

/// Asks for the two bodies that make one gate vector, for N branches of which K are chosen. They
/// allocate nothing and run on host and device alike:
///
/// - `forward<N, K>(logits, allowed, saved, weights, chosen)` writes the weight of every branch
///   (zero where not chosen or not allowed), the K chosen branches, and N scalars of its own;
/// - `backward<N, K>(saved, weights, chosen, dweights, dlogits)` writes all of dlogits and reads
///   dweights of the chosen branches only.
///
/// A gating may also say `scores(branches)`, where it needs more than one score a branch, and
/// `biased_scores`; `sparse_by_value`, that it gives branches zero weight by itself; `needs_dense`,
/// that all branches must count as chosen; `needs_supervision`, that nothing else trains its
/// router.
///
/// A `BiasedGating` is given a bias of each branch too, after the logits, which nothing trains. The
/// tests ask for a `reference` beside them (`ReferencedGating`).
template <class P>
concept GatingPolicy = PolicyOf<P, category::Gating> && category::Gating::accepts<P>;

/// How many scores a gating asks of a unit, for N branches: `scores(branches)` where it has that,
/// those of the branches first; else one for each.
template <class P>
constexpr int scores_of(int branches) {
  if constexpr (requires { P::scores(branches); }) {
    return P::scores(branches);
  } else {
    return branches;
  }
}

/// How many of them, the last ones, have a trained bias: `biased_scores` where a gating has that.
template <class P>
constexpr int biased_scores_of() {
  if constexpr (requires { P::biased_scores; }) {
    return P::biased_scores;
  } else {
    return 0;
  }
}

}  // namespace branchlora
