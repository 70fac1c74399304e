/// @file
/// HydraLoRA: Tian et al., "HydraLoRA: An Asymmetric LoRA Architecture for Efficient Fine-Tuning",
/// NeurIPS 2024.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) sum_i softmax(W_r x)_i B_i A x, for each token, over all N heads, with one
/// A of R x d_in, B_i of d_out x R, W_r of N x d_in without bias. A and W_r start uniform in
/// +-1/sqrt(d_in), B at zero.
///
/// As in the authors' code: R is the rank of each head, not divided by N. The number of heads,
/// which the paper finds by clustering the data, is given by hand.
template <int R, int N>
using HydraLora = Adapter<Rank<R>, Branches<N>, trunk::Shared, router::Linear<per::Token>>;

/// The authors' settings, s = 8 at rank 4.
inline constexpr Hyper hydra_lora_hyper{.alpha = 32.0, .dropout = 0.05};

}  // namespace branchlora
