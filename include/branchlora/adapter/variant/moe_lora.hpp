/// @file
/// MoELoRA in the form of CoIN: Chen et al., "CoIN: A Benchmark of Continual Instruction Tuning for
/// Multimodal Large Language Models", NeurIPS 2024.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / (N R)) sum_i softmax(W_r x)_i B_i A_i x, for each token, over all N experts,
/// with A_i of R x d_in, B_i of d_out x R, W_r of N x d_in without bias. A starts as N(0, 0.01^2),
/// B at zero, W_r uniform in +-1/sqrt(d_in).
///
/// As in CoIN's code: its configured rank 128 is that of all 8 experts together, so R is 16 here
/// and s = alpha / 128. There is no balance loss, noise or capacity in the path that runs.
template <int R, int N>
using MoeLora = Adapter<Rank<R>, Branches<N>, trunk::Separate, router::Linear<per::Token>,
                        scaling::AlphaOverTotalRank, init::Gaussian>;

/// CoIN's settings: s = 2 at total rank 128.
inline constexpr Hyper moe_lora_hyper{.alpha = 256.0, .dropout = 0.05};

}  // namespace branchlora
