/// @file
/// MoLA: Gao et al., "Higher Layers Need More LoRA Experts", 2024 (arXiv 2402.08562).
#pragma once

#include <algorithm>
#include <type_traits>

#include "branchlora/adapter/by_block.hpp"

namespace branchlora {

/// What MoLA has in a block: y = W x + (alpha / R) sum over the two best i of softmax(W_r x)_i,
/// renormalised, times B_i A_i x, for each token, with A_i of R x d_in, B_i of d_out x R, W_r of
/// N x d_in. A and W_r start uniform in +-1/sqrt(d_in), B at zero. A Switch loss balances more than
/// two experts; of two both are chosen.
template <int R, int N>
using MolaBlock =
    Adapter<Rank<R>, Branches<N>, TopK<std::min(N, 2)>, trunk::Separate, router::Linear<per::Token>,
            std::conditional_t<(N > 2), balance::Switch, balance::None>>;

/// The more experts, the higher the block: `Ns` are the numbers of experts of equal shares of the
/// blocks, from the lowest. The paper's best is MoLA(2,4,6,8), `Mola<8, 2, 4, 6, 8>`.
///
/// Uncertain: how the authors weigh the balance loss; here it is `Hyper::balance_weight` in each
/// linear.
template <int R, int... Ns>
using Mola = ByBlock<MolaBlock<R, Ns>...>;

}  // namespace branchlora
