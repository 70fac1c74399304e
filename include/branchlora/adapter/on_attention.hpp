/// @file
/// A method beside the linears of attention alone.
#pragma once

#include <string>
#include <string_view>

#include "branchlora/adapter/by_block.hpp"
#include "branchlora/adapter/model_shape.hpp"

namespace branchlora {

/// Variant `V` beside q, k, v and o, and nothing beside the linears of the feed-forward layer: what
/// Hu et al. 2022 (LoRA, section 4.2) adapt, where later work adapts every linear. What a linear of
/// a model costs depends on its name, so parameters and operations are those of a model
/// (adapter/model_shape.hpp), or of a linear that has an adapter.
template <class V>
struct OnAttention {
  static_assert(detail::of_policies<V>, "OnAttention takes a variant that is an Adapter<...>.");

  using Beside = V;
  /// This method with `Qs` in place of the policies of their categories.
  template <class... Qs>
  using with = OnAttention<typename V::template with<Qs...>>;

  using Selector = typename V::Selector;
  using Supervision = typename V::Supervision;
  using Freezing = typename V::Freezing;
  static constexpr bool per_task_router = V::per_task_router;
  static constexpr int gate_rows = V::gate_rows;
  static constexpr init::Needs needs = V::needs;

  /// Whether the linear of that name, the last part of it, has an adapter.
  static constexpr bool adapts(std::string_view linear) {
    linear.remove_prefix(linear.rfind('.') + 1);
    return linear == "q" || linear == "k" || linear == "v" || linear == "o";
  }

  static constexpr double scale(const Hyper& hyper) { return V::scale(hyper); }

  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return V::parameters(d_in, d_out);
  }
  static constexpr Parameters parameters(const LinearShape& linear) {
    return adapts(linear.name) ? branchlora::parameters<V>(linear) : Parameters{};
  }

  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    return V::flops(d_in, d_out, tokens, sequences);
  }
  static constexpr Flops flops(const LinearShape& linear, std::int64_t tokens,
                               std::int64_t sequences) {
    Flops f = branchlora::flops<V>(linear, tokens, sequences);
    if (!adapts(linear.name)) f.adapter = {};
    return f;
  }

  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return V::optimizer_bytes(d_in, d_out);
  }

  static std::string describe() { return "OnAttention<" + V::describe() + ">"; }
  bool operator==(const OnAttention&) const = default;
};

}  // namespace branchlora
