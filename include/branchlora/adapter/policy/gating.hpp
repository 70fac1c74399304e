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

namespace category {
struct Gating;
}

template <class P>
concept UnbiasedGating = requires(const double* in, BranchSet allowed, double* out,
                                  std::int32_t* chosen) {
  P::template forward<2, 1>(in, allowed, out, out, chosen);
};
template <class P>
concept BiasedGating = requires(const double* in, BranchSet allowed, double* out,
                                std::int32_t* chosen) {
  P::template forward<2, 1>(in, in, allowed, out, out, chosen);
};

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
concept GatingPolicy = PolicyOf<P, category::Gating> &&
    (UnbiasedGating<P> || BiasedGating<P>)&&requires(const double* in, double* out,
                                                     const std::int32_t* chosen) {
  P::template backward<2, 1>(in, in, chosen, in, out);
};

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

namespace category {
/// How scores become weights. Default: `gating::TopKThenSoftmax`. Without top-k all forms agree.
struct Gating {
  template <class P>
  static constexpr bool accepts = GatingPolicy<P>;
  template <class Given>
  using Default = gating::TopKThenSoftmax;
};
}  // namespace category

}  // namespace branchlora
