/// @file
/// MixLoRA: Li et al., "MixLoRA: Enhancing Large Language Models Fine-Tuning with LoRA-based
/// Mixture of Experts" (arXiv 2404.15159).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/layer.hpp"
#include "branchlora/adapter/layers/mixed_ffn.hpp"
#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/adapter/plain_variant.hpp"
#include "branchlora/adapter/variant/lora.hpp"

namespace branchlora {

/// Experts are whole feed-forward layers, the frozen one with E LoRAs on each of its linears:
///
///     y = sum over the K chosen e of w_e FFN_e(x)
///     FFN_e(x) = (W_d + s B_e A_e)(silu((W_g + s B'_e A'_e) x) * (W_u + s B''_e A''_e) x)
///
/// with w the softmax over the K largest of W_r x, for each token, W_r of E x width, and a plain
/// LoRA on the linears of attention. s = alpha / R; A starts uniform in +-1/sqrt(d_in), B at zero,
/// W_r as N(0, 0.02^2). The products of the frozen W_g and W_u are taken once for all experts; that
/// of W_d too, since it is linear: W_d sum of w_e act_e.
///
/// The balance loss is balance_weight * E sum of f_e P_e, f_e being the share of the choices and
/// P_e the mean of the softmax over all experts. Ours is that of each layer, added up; the authors
/// take one over the tokens of all layers, with f_e the choices a token, so that theirs is K times
/// as large: `mix_lora_hyper` has their weight, of which ours is K a layer's share. Dropout falls on the inputs of A, once for all experts.
template <int R, int E, int K>
struct MixLora : PlainVariant {
  static_assert(R >= 1, "The R of MixLora<R, E, K> must be at least 1.");
  static_assert(K >= 1 && K <= E, "MixLora<R, E, K> cannot choose more experts than it has.");
  static_assert(E <= max_branches, "MixLora<R, E, K> can have at most 64 experts.");
  static constexpr int rank = R;
  static constexpr int experts = E;
  static constexpr int top_k = K;
  using Attention = Lora<R>;

  /// Beside the linears of attention.
  template <Backend B>
  using Layer = AdapterLayer<B, Attention>;
  /// In place of the feed-forward layer.
  template <Backend B>
  using Ffn = MixedFfn<B, MixLora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }

  /// Whether a linear of a `ModelShape` is one of the feed-forward layer's.
  static constexpr bool in_ffn(const LinearShape& linear) {
    return linear.name == "gate" || linear.name == "up" || linear.name == "down";
  }
  /// Trainable parameters beside a linear of a model; the router counts with "gate".
  static constexpr Parameters parameters(const LinearShape& linear) {
    const Parameters lora = parameters(linear.d_in, linear.d_out);
    if (!in_ffn(linear)) return lora;
    return {E * lora.a, E * lora.b, linear.name == "gate" ? E * linear.d_in : 0};
  }
  /// Operations beside a linear of a model: K experts for each token.
  static constexpr Flops flops(const LinearShape& linear, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    Flops f = flops(linear.d_in, linear.d_out, tokens, sequences);
    if (!in_ffn(linear)) return f;
    f.adapter = K * f.adapter;
    if (linear.name == "gate") {
      const std::int64_t route = 2 * tokens * linear.d_in * E;
      f.adapter += {route, 2 * route};
    }
    return f;
  }
  /// Trainable parameters beside a linear of attention.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return Attention::parameters(d_in, d_out);
  }
  /// Operations beside a linear of attention.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    return Attention::flops(d_in, d_out, tokens, sequences);
  }
  /// Bytes of AdamW training beside a linear of attention.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return Attention::optimizer_bytes(d_in, d_out);
  }
  static std::string describe() { return fmt::format("MixLora<{}, {}, {}>", R, E, K); }
  bool operator==(const MixLora&) const = default;
};

/// The authors' settings at R = 16, E = 8, K = 2.
inline constexpr Hyper mix_lora_hyper{.alpha = 32.0, .dropout = 0.05, .balance_weight = 1e-3};

}  // namespace branchlora
