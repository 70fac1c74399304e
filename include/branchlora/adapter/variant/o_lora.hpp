/// @file
/// O-LoRA: Wang et al., "Orthogonal Subspace Learning for Language Model Continual Learning",
/// Findings of EMNLP 2023 (arXiv 2310.14152).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/layers/o_lora_layer.hpp"
#include "branchlora/adapter/plain_variant.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"

namespace branchlora {

/// y = W x + s sum over i <= t of B_i A_i x while task t (0, 1, ...) trains and after it: each task
/// brings a pair A_i of R x d_in, B_i of d_out x R, those of earlier tasks are frozen and applied
/// with weight 1. No router and no task identity at inference. s = alpha / R; A starts uniform in
/// +-1/sqrt(d_in), B at zero. T is the most tasks that there is memory for.
///
/// The loss that keeps a new A out of the space of the old ones is a strategy of the training loop:
/// `continual::strategy::Orthogonal`. Without it this is one LoRA a task, added up.
template <int R, int T>
struct OLora : PlainVariant {
  static_assert(R >= 1, "The R of OLora<R, T> must be at least 1.");
  static_assert(T >= 1 && T <= max_branches, "The T of OLora<R, T> must be 1 to 64 tasks.");
  static constexpr int rank = R;
  static constexpr int tasks = T;

  template <Backend B>
  using Layer = OLoraLayer<B, OLora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }
  /// Trainable parameters of a task beside a linear. After t tasks a model holds t times as many.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return {R * d_in, R * d_out, 0};
  }
  /// Operations beside a linear in task T, the last, when all pairs are applied and one trains.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t /*sequences*/ = 1) {
    const std::int64_t pair = 2 * tokens * R * (d_in + d_out);
    const std::int64_t frozen = 2 * tokens * d_in * d_out;
    return {{T * pair, (T + 1) * pair}, {frozen, frozen}};
  }
  /// Bytes of AdamW training of a task beside a linear.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return adamw_bytes * parameters(d_in, d_out).total();
  }
  static std::string describe() { return fmt::format("OLora<{}, {}>", R, T); }
  bool operator==(const OLora&) const = default;
};

/// The authors' settings at R = 8 (T5-large): s = 4.
inline constexpr Hyper o_lora_hyper{.alpha = 32.0, .dropout = 0.0};

}  // namespace branchlora
