/// @file
/// MoA: Feng et al., "Mixture-of-LoRAs: An Efficient Multitask Tuning Method for Large Language
/// Models", LREC-COLING 2024 (arXiv 2403.03432).
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// A bank of one LoRA a domain (task), of which a sequence takes one, with weight 1:
///
///     y = W x + (alpha / R) B_i A_i x,  i = argmax of W_r h over the domains begun so far
///
/// with h the mean over the sequence of the input of the layer's first linear, A_i of R x d_in, B_i
/// of d_out x R, and one W_r of N x width for each transformer layer, without bias. A and W_r start
/// uniform in +-1/sqrt of their columns, B at zero. In training i is the domain of the sample, and
/// W_r learns from routing_weight * mean over sequences of CE(W_r h, domain). When a domain ends,
/// its A_i and B_i are frozen: one that is added later touches no other's bits.
///
/// Uncertain, or ours: no code is public, and the routing is put together from readers' accounts.
/// - The weight of the loss, how the sequence is pooled and how the choice is made at inference are
///   not known. Each layer adds its own loss: divide `routing_weight` by their number for the mean.
/// - The authors train the experts first and the router with them again; here both train together,
///   which is the same but for the second pass over the experts, since no gradient of the answer
///   reaches the router. That of the routing loss reaches h.
/// - Where domains come one after another, the router sees one at a time, and forgets.
///
/// `router::Linear<per::MeanToken>` gives each linear a router of its own.
template <int R, int N>
using Moa = Adapter<Rank<R>, Branches<N>, TopK<1>, trunk::Separate,
                    router::PerBlock<router::Linear<per::MeanToken>>, gating::Argmax,
                    freezing::OwnBranch, supervision::TaskLabel>;

/// LoRA's settings: none are known.
inline constexpr Hyper moa_hyper{.alpha = 16.0, .routing_weight = 1.0};

}  // namespace branchlora
