/// @file
/// BranchLoRA: Zhang et al., "Enhancing Multimodal Continual Instruction Tuning with BranchLoRA",
/// ACL 2025.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / (N R)) sum over i in top-K of w_i B_i A x, with w from the router of task t:
/// softmax of the chosen scores W_t x_1, x_1 the first token of the sequence. One A of R x d_in for
/// all, B_i of d_out x R, one W_t of N x d_in for each task. A starts as N(0, 0.01^2), B at zero.
/// After each task the K most active branches of each adapted linear are frozen; routers of earlier
/// tasks are kept; at inference the nearest image and text key picks the router.
///
/// The authors' code could not be consulted. Their parameter counts settle where adapters sit (all
/// seven linears), that R is 16 at N = 8, and that one router set is counted. Reported by readers:
/// the shared A, sparse top-k, routers for each task that read the first token, freezing of the
/// most active branches, keys. Our reading, each with an alternative policy:
/// - softmax over the chosen (`gating::SoftmaxThenTopK`);
/// - activity as mean gate weight (`activity::SelectionCount`), K branches frozen for each linear;
/// - a new router starts anew (`router_start::Copied`) and may choose frozen branches too
///   (`reach::TunableOnly`, `reach::FrozenOnly`);
/// - when all branches are frozen, the K that the last task used least train again
///   (`exhausted::FrozenOnly`, `exhausted::Grow`): with N = 8 and K = 2 that is from the fifth task
///   on.
///
/// Where every sequence starts with the same token, a causal model gives `per::FirstToken` the same
/// input each time, and the routing is constant: `per::MeanToken` and `per::Token` are not.
template <int R, int N, int K>
using BranchLora = Adapter<Rank<R>, Branches<N>, TopK<K>, trunk::Shared,
                           router::PerTask<router::Linear<per::FirstToken>>,
                           freezing::MostActive<K>, scaling::AlphaOverTotalRank, init::Gaussian>;

/// The reported settings: s = 2 at total rank 128. The dropout is CoIN's.
inline constexpr Hyper branch_lora_hyper{.alpha = 256.0, .dropout = 0.05};

}  // namespace branchlora
