/// @file
/// Policy: how scores become gate weights.
#pragma once

#include "branchlora/adapter/policy/gating/rank_prefix.hpp"
#include "branchlora/adapter/policy/gating/renormalised.hpp"
#include "branchlora/adapter/policy/gating/softmax_top_k.hpp"
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
/// A `BiasedGating` is given a bias of each branch too, after the logits, which nothing trains. The
/// tests ask for a `reference` beside them (`ReferencedGating`).
template <class P>
concept GatingPolicy = PolicyOf<P, category::Gating> &&
    (UnbiasedGating<P> || BiasedGating<P>)&&requires(const double* in, double* out,
                                                     const std::int32_t* chosen) {
  P::template backward<2, 1>(in, in, chosen, in, out);
};

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
