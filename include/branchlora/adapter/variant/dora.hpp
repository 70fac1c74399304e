/// @file
/// DoRA: Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/layers/dora_layer.hpp"
#include "branchlora/adapter/plain_variant.hpp"

namespace branchlora {

/// y = m / n * (W x + s B A x), row by row, with n_o = ||row o of W + s B A|| and s = alpha / R; m
/// of d_out, A of R x d_in, B of d_out x R. m starts as the norms of W's rows and A and B as LoRA's
/// do, so that a new adapter changes nothing. n counts as given: no gradient goes through it, as in
/// the paper's section on cost and in PEFT.
///
/// Our reading: dropout is on the input of A alone; PEFT drops the inputs of W here too. Weight
/// decay leaves m alone, since it would pull the base weight to zero.
///
/// Every pass, also in evaluation, computes n anew, which costs what R tokens cost in the frozen
/// linear.
template <int R>
struct Dora : PlainVariant {
  static_assert(R >= 1, "The R of Dora<R> must be at least 1.");
  static constexpr int rank = R;
  static constexpr bool reads_weight = true;

  template <Backend B>
  using Layer = DoraLayer<B, Dora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }
  /// Trainable parameters beside a linear: LoRA's and d_out.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return {R * d_in, R * d_out, 0, d_out};
  }
  /// Operations beside a linear: LoRA's and, forward, the norms.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t /*sequences*/ = 1) {
    const std::int64_t lora = 2 * tokens * R * (d_in + d_out);
    const std::int64_t norms = 2 * R * d_in * d_out + 2 * R * R * (d_in + d_out);
    const std::int64_t frozen = 2 * tokens * d_in * d_out;
    return {{lora + norms, 2 * lora}, {frozen, frozen}};
  }
  /// Bytes of AdamW training beside a linear.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return adamw_bytes * parameters(d_in, d_out).total();
  }
  static std::string describe() { return fmt::format("Dora<{}>", R); }
  bool operator==(const Dora&) const = default;
};

/// LoRA's settings: the paper gives none that hold for all models.
inline constexpr Hyper dora_hyper{.alpha = 16.0, .dropout = 0.05};

}  // namespace branchlora
