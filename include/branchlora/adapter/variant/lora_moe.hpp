/// @file
/// LoRAMoE: Dou et al., "LoRAMoE: Alleviating World Knowledge Forgetting in Large Language Models
/// via MoE-Style Plugin", ACL 2024 (arXiv 2312.09979).
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) sum_i softmax(W_r x)_i B_i A_i x, for each token, over all N experts, with
/// A_i of R x d_in, B_i of d_out x R, W_r of N x d_in without bias. A and W_r start uniform in
/// +-1/sqrt(d_in), B at zero. Training adds, for each linear, a loss that has half of the experts
/// serve samples of one type and half those of the other (`balance::Localised`):
///
///     balance_weight * var(Z) / mean(Z)^2,  Z_sb = (1 +- delta) sum over tokens of s of weight b
///
/// Uncertain, or ours:
/// - the authors' script has both factors at 0; the paper's 0.1 is reported;
/// - the authors tell world knowledge from other tasks. Here a sample has the type of its task,
///   that of the task's number mod 2 unless `Hyper::task_types` says otherwise;
/// - by this formula the loss is zero where weights are in inverse proportion to 1 +- delta: the
///   half of a sample's own type then has the smaller part;
/// - each linear adds its own loss; the variance divides by the count, not by one less;
/// - the authors adapt the linears of the feed-forward layers alone, this library all seven.
template <int R, int N>
using LoraMoe =
    Adapter<Rank<R>, Branches<N>, trunk::Separate, router::Linear<per::Token>, balance::Localised>;

/// The authors' settings, at R = 4 and N = 8, with the paper's factors.
inline constexpr Hyper lora_moe_hyper{.alpha = 32.0, .balance_weight = 0.1, .balance_delta = 0.1};

}  // namespace branchlora
