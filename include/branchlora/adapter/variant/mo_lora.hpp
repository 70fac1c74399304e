/// @file
/// MoLoRA: Zadouri et al., "Pushing Mixture of Experts to the Limit: Extremely Parameter Efficient
/// MoE for Instruction Tuning", ICLR 2024 (arXiv 2309.05444).
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) sum_i softmax(W_r x)_i B_i A_i x, for each token, over all N experts, with
/// A_i of R x d_in, B_i of d_out x R, W_r of N x d_in without bias. A and W_r start as N(0,
/// 0.02^2), B at zero. No balance loss. As in the authors' code, which trains with Adafactor.
template <int R, int N>
using MoLora =
    Adapter<Rank<R>, Branches<N>, trunk::Separate, router::Linear<per::Token>, init::GaussianAll>;

/// The authors' settings, at R = 4 and N = 10.
inline constexpr Hyper mo_lora_hyper{.alpha = 16.0};

}  // namespace branchlora
