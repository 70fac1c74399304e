/// @file
/// MoRE: "MoRE: A Mixture of Low-Rank Experts for Adaptive Multi-Task Learning", arXiv 2505.22694.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) sum over j <= r_t of (j / R)^2 b_j a_j x for a sample of task t, with
/// p = softmax(W_g e_t + b_g) and r_t its largest entry (from 1): the task chooses how many of the
/// R rows a_j of A and columns b_j of B it uses. e_t is as wide as x, W_g is R x d_in. All train
/// together; the choice learns by a straight-through factor 1 + p_r - stop(p_r). A contrastive loss
/// draws e_t to the first tokens of its task (`router::ContrastiveEmbedding`).
///
/// Uncertain, or ours:
/// - the scaling by j / R follows the released code; the paper's formula divides by a number that
///   may mean R or the number of tasks, which were equal there;
/// - the authors average the contrastive loss over the adapted linears, with weight 0.1. Here each
///   linear adds its own, so `contrast_weight` is to be 0.1 divided by their number;
/// - whether its gradient reaches x is not known; here it does;
/// - how b_g starts is not known; here it is uniform in +-1/sqrt(d_in);
/// - the loss is over the tasks begun so far, and what is of earlier tasks alone is frozen.
template <int R>
using More = Adapter<Rank<1>, Branches<R>, trunk::Separate, router::ContrastiveEmbedding,
                     gating::RankPrefix, scaling::AlphaOverTotalRank>;

/// MoRE as its released code runs: the rank of a task is what random W_g, b_g and e_t happen to say
/// at first, for good. Nothing trains W_g and b_g, and the contrastive loss alone trains e_t.
template <int R>
using MoreReleased = typename More<R>::template with<router::Drawn<router::ContrastiveEmbedding>>;

/// The authors' settings, at R = 8.
inline constexpr Hyper more_hyper{.alpha = 32.0, .dropout = 0.1};

}  // namespace branchlora
