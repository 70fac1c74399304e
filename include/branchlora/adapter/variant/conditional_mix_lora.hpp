/// @file
/// Conditional MixLoRA: Shen et al., "Multimodal Instruction Tuning with Conditional Mixture of
/// LoRA", ACL 2024 (arXiv 2402.15896).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/layers/mixed_factors_layer.hpp"
#include "branchlora/adapter/plain_variant.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"

namespace branchlora {

/// How factors of B are chosen.
enum class FactorChoice : std::uint8_t {
  independent,  ///< By the input alone.
  conditional,  ///< By the input and the factors of A that were chosen.
};

/// y = W x + s sum over r < R of b_{I_B[r]} (a_{I_A[r]} . x), with pools of E factors a_e of d_in
/// and b_e of d_out, s = alpha / R. Once for each sequence, with h the mean of the layer's inputs:
///
///     I_A = the R largest of W_A h
///     I_B = the R largest of W_B h                                           (independent)
///         = the R largest of softmax(W_B h)
///             + softmax(sum over r of softmax(W_r a_{I_A[r]}))               (conditional)
///
/// both in order of score, ties to the lower index. W_A, W_B and W_r are E x d_in. a and the
/// routers start uniform in +-1/sqrt(d_in), b at zero.
///
/// As in the authors' code: the chosen factors are not weighted, so that the routers receive no
/// gradient and stay the random projections that they start as; they are frozen here and not
/// counted as trainable (the paper counts 2 E d_in, and E R d_in for W_r). The outer softmax is the
/// code's; the paper has the plain sum. `Scored` gives pair r the weight p_{I_A[r]} q_{I_B[r]}, the
/// scores by which its factors were chosen, through which the routers learn. How scores are to
/// weigh is our reading: in units of the mean score, so that equal scores are the form without
/// weights.
///
/// Other differences: a batch has no padding here, so that none enters the mean; and the tokens of
/// an answer keep the choice of their prompt, where the released code routes each new token by
/// itself. The routers read the input before dropout.
template <int E, int R, FactorChoice Choice = FactorChoice::conditional, bool Scored = false>
struct ConditionalMixLora : PlainVariant {
  static_assert(R >= 1, "The R of ConditionalMixLora<E, R> must be at least 1.");
  static_assert(R <= E, "ConditionalMixLora<E, R> cannot choose more factors than its pools have.");
  static_assert(E <= max_branches, "ConditionalMixLora<E, R> can have at most 64 factors a pool.");
  static constexpr int pool = E;
  static constexpr int rank = R;
  static constexpr bool conditional = Choice == FactorChoice::conditional;
  static constexpr bool scored = Scored;
  /// Rows of all routers, of d_in columns.
  static constexpr int router_rows = 2 * E + (conditional ? E * R : 0);

  template <Backend B>
  using Layer = MixedFactorsLayer<B, ConditionalMixLora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }
  /// Trainable parameters beside a linear.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return {E * d_in, E * d_out, Scored ? router_rows * d_in : 0};
  }
  /// Operations beside a linear: the chosen factors for each token, W_A and W_B for each sequence,
  /// and what all a's say of B.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    const std::int64_t factors = 2 * tokens * R * (d_in + d_out);
    const std::int64_t routers =
        2 * d_in * (sequences * 2 * E + (conditional ? std::int64_t{E} * E * R : 0));
    const std::int64_t frozen = 2 * tokens * d_in * d_out;
    return {{factors + routers, 2 * factors + (Scored ? 2 * routers : 0)}, {frozen, frozen}};
  }
  /// Bytes of AdamW training beside a linear.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return adamw_bytes * parameters(d_in, d_out).total();
  }
  static std::string describe() {
    return fmt::format("ConditionalMixLora<{}, {}, FactorChoice::{}, {}>", E, R,
                       conditional ? "conditional" : "independent", Scored);
  }
  bool operator==(const ConditionalMixLora&) const = default;
};

/// The form whose chosen factors are weighted by their scores, so that its routers learn.
template <int E, int R, FactorChoice Choice = FactorChoice::conditional>
using ScoredMixLora = ConditionalMixLora<E, R, Choice, true>;

/// The authors' settings, alpha = 2 E.
template <int E>
inline constexpr Hyper conditional_mix_lora_hyper{.alpha = 2.0 * E, .dropout = 0.05};

}  // namespace branchlora
