/// @file
/// A method that differs from block to block of a model.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

namespace detail {

/// The first of some types.
template <class V, class...>
struct First {
  using type = V;
};

/// Whether a variant is an `Adapter`.
template <class V>
constexpr bool of_policies = requires {
  typename V::Router;
  typename V::Supervision;
};

/// Whether a variant has one router for all linears of a model.
template <class V>
constexpr bool has_model_router = requires {
  requires V::Router::per_model;
};

/// Whether two variants are trained and asked alike: by the same tasks, stages and selector.
template <class V, class W>
constexpr bool trained_alike =
    V::per_task_router ==
    W::per_task_router&& std::same_as<typename V::Selector, typename W::Selector>&&
        std::same_as<typename V::Supervision, typename W::Supervision>&&
            std::same_as<typename V::Freezing, typename W::Freezing>;

}  // namespace detail

/// The variants `Vs`, each for an equal share of the blocks of a model, from the lowest: variant
/// floor(b n / blocks) of n stands in block b. Parameters and operations are those of a whole model
/// (adapter/model_shape.hpp): a linear alone does not say in which block it is.
template <class... Vs>
struct ByBlock {
  static_assert(sizeof...(Vs) >= 1, "ByBlock needs at least one variant.");
  static_assert((detail::of_policies<Vs> && ...),
                "ByBlock takes variants that are an Adapter<...>.");
  using First = typename detail::First<Vs...>::type;
  static_assert(
      (detail::trained_alike<First, Vs> && ...),
      "The variants of ByBlock must agree on freezing, selector, supervision and task routers.");
  static_assert(
      !(detail::has_model_router<Vs> || ...),
      "ByBlock takes no router::PerModel: its blocks may have other numbers of branches.");

  static constexpr bool varies_by_block = true;
  static constexpr bool per_task_router = First::per_task_router;
  using Selector = typename First::Selector;
  using Supervision = typename First::Supervision;
  using Freezing = typename First::Freezing;
  /// What the starts of any block ask for.
  static constexpr init::Needs needs = (Vs::needs | ...);
  /// The most rows that a router has; 0 without any.
  static constexpr int gate_rows = std::max({Vs::gate_rows...});

  /// The factor s of the lowest blocks.
  static constexpr double scale(const Hyper& hyper) { return First::scale(hyper); }

  /// f(std::type_identity of the variant that stands in block `block` of `blocks`).
  template <class F>
  static constexpr auto at(std::int64_t block, std::int64_t blocks, F f) {
    using Result = decltype(f(std::type_identity<First>{}));
    constexpr std::int64_t n = sizeof...(Vs);
    Result result{};
    std::int64_t i = 0;
    ((i++ == block * n / blocks ? void(result = f(std::type_identity<Vs>{})) : void()), ...);
    return result;
  }

  /// The full types, from the lowest blocks up.
  static std::string describe() {
    std::string text;
    ((text += (text.empty() ? "" : ", ") + Vs::describe()), ...);
    return "ByBlock<" + text + ">";
  }
  bool operator==(const ByBlock&) const = default;
};

}  // namespace branchlora
