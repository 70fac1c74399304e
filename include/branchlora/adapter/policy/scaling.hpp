/// @file
/// Policy: the factor s before the adapter's output, from alpha and the ranks.
#pragma once

#include <cmath>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace scaling {
struct AlphaOverRank;
}

namespace category {
/// The factor s. Default: `scaling::AlphaOverRank`.
struct Scaling {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool value = requires {
      { P::value(16.0, 8, 1) } -> std::same_as<double>;
    };
    static_assert(value || !say,
                  "A policy of category::Scaling lacks `static double value(double alpha, int "
                  "rank, int branches)`: the factor s.");
    return value;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = scaling::AlphaOverRank;
};
}  // namespace category

/// Asks for `value(alpha, rank, branches)`, the factor s; `rank` is that of one branch.
template <class P>
concept ScalingPolicy = PolicyOf<P, category::Scaling> && category::Scaling::accepts<P>;

namespace scaling {

/// s = alpha / rank, LoRA's.
struct AlphaOverRank {
  using Category = category::Scaling;
  static constexpr std::string_view name() { return "scaling::AlphaOverRank"; }
  static constexpr double value(double alpha, int rank, int /*branches*/) { return alpha / rank; }
  bool operator==(const AlphaOverRank&) const = default;
};

/// s = alpha / (branches rank): CoIN's, whose configured rank is that of all experts together.
struct AlphaOverTotalRank {
  using Category = category::Scaling;
  static constexpr std::string_view name() { return "scaling::AlphaOverTotalRank"; }
  static constexpr double value(double alpha, int rank, int branches) {
    return alpha / (branches * rank);
  }
  bool operator==(const AlphaOverTotalRank&) const = default;
};

/// s = alpha / sqrt(rank): rsLoRA's, Kalajdzievski, "A Rank Stabilization Scaling Factor for
/// Fine-Tuning with LoRA", 2023.
struct AlphaOverSqrtRank {
  using Category = category::Scaling;
  static constexpr std::string_view name() { return "scaling::AlphaOverSqrtRank"; }
  static double value(double alpha, int rank, int /*branches*/) { return alpha / std::sqrt(rank); }
  bool operator==(const AlphaOverSqrtRank&) const = default;
};

}  // namespace scaling
}  // namespace branchlora
