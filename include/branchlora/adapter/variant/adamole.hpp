/// @file
/// AdaMoLE: Liu & Luo, "AdaMoLE: Fine-Tuning Large Language Models with Adaptive Mixture of
/// Low-Rank Adaptation Experts", 2024 (arXiv 2405.00361).
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) sum_i g_i B_i A_i x, for each token, with
///
///     p = softmax(W_r x), t = tau sigmoid(w x + b), g_i = max(p_i - t, 0) / sum_j max(p_j - t, 0)
///
/// A_i of R x d_in, B_i of d_out x R, W_r of N x d_in without bias; w of d_in, the last row of
/// `<layer>.router`, and b, `<layer>.router.bias`, are trained as W_r is. tau = 1 / N. A, W_r, w
/// and b start uniform in +-1/sqrt(d_in), B at zero. A Switch loss of p balances the experts.
///
/// Uncertain: the authors' code takes p - t for the probabilities of its balance loss, and an
/// expert's load as its share of the tokens, not of all choices; here it is `balance::Switch` as
/// everywhere. `Hyper::temperature` divides the threshold's score too.
template <int R, int N>
using AdaMole = Adapter<Rank<R>, Branches<N>, trunk::Separate, router::Linear<per::Token>,
                        gating::Threshold<>, balance::Switch>;

}  // namespace branchlora
