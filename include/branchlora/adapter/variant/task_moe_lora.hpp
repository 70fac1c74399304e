/// @file
/// MOELoRA with a gate of the task: Liu et al., "MOELoRA: An MOE-based Parameter Efficient
/// Fine-Tuning Method for Multi-task Medical Applications", arXiv 2310.18339.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / (E R)) sum_i softmax(W_g e_t)_i B_i A_i x for a sample of task t, over all E
/// experts, with A_i of R x d_in, B_i of d_out x R, e_t of 64 numbers and W_g of E x 64. A starts
/// as N(0, 0.01^2), B at zero, W_g uniform in +-1/8. W_g and the e_t are those of the whole model,
/// as in the authors' run script: all linears weigh their experts alike. (CoIN's method of the same
/// name, whose gate reads tokens, is `MoeLora`.)
///
/// R is the rank of one expert: the authors' 16 is that of all 8 together. That e starts as N(0, 1)
/// is inferred. `with<router::TaskEmbedding<64>>` has a gate for each linear.
template <int R, int E>
using TaskMoeLora =
    Adapter<Rank<R>, Branches<E>, trunk::Separate, router::PerModel<router::TaskEmbedding<64>>,
            scaling::AlphaOverTotalRank, init::Gaussian>;

/// The authors' settings, at R = 2 and E = 8.
inline constexpr Hyper task_moe_lora_hyper{.alpha = 32.0, .dropout = 0.1};

}  // namespace branchlora
