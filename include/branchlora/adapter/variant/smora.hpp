/// @file
/// SMoRA: "Each Rank Could be an Expert: Single-Ranked Mixture of Experts LoRA for Multi-Task
/// Learning", arXiv 2501.15103.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// Every rank is an expert: with a_j the rows of A (R x d_in) and b_j the columns of B (d_out x R),
///
///     g = sigmoid(W x) + c,  S = the K largest of g
///     y = W_0 x + (alpha / K) sum over j in S of (K g_j / sum over S of g) b_j a_j x
///
/// for each token, with W of R x d_in without bias. A and W start uniform in +-1/sqrt(d_in), B at
/// zero. The two K cancel: the weights sum to 1 here, and s = alpha.
///
/// c is not trained. After each training step's forward pass, c_j += rate * sign(mean count - count
/// of j), with counts over the tokens of the batch (`balance::LossFree`). As in the authors' code,
/// c is part of the gate's value, not of the choice alone.
///
/// Uncertain: whether the paper's gate is a sigmoid, as in the code, or a softmax
/// (`SMoraSoftmax`); the code's blocks of several ranks are left out.
template <int R, int K>
using SMora = Adapter<Rank<1>, Branches<R>, TopK<K>, trunk::Separate, router::Linear<per::Token>,
                      gating::SigmoidRenormalised, balance::LossFree>;

/// The same with g = softmax(W x) + c.
template <int R, int K>
using SMoraSoftmax = typename SMora<R, K>::template with<gating::SoftmaxRenormalised>;

/// The authors' settings, at R = 64 and K = 8.
inline constexpr Hyper smora_hyper{.alpha = 16.0};

}  // namespace branchlora
