/// @file
/// Policy: the rank of one branch.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

template <int R>
struct Rank;

namespace category {
struct Rank;
}

/// Asks for `value`, the rank of one branch, at least 1.
template <class P>
concept RankPolicy = PolicyOf<P, category::Rank> && requires {
  { P::value } -> std::convertible_to<int>;
  requires P::value >= 1;
};

namespace category {
/// The rank of one branch. Default: 8.
struct Rank {
  template <class P>
  static constexpr bool accepts = RankPolicy<P>;
  template <class Given>
  using Default = branchlora::Rank<8>;
};
}  // namespace category

/// Each branch has rank `R`: its A has `R` rows and its B has `R` columns.
template <int R>
struct Rank {
  static_assert(R >= 1, "The R of Rank<R> must be at least 1.");
  using Category = category::Rank;
  static constexpr int value = R;
  static std::string name() { return fmt::format("Rank<{}>", R); }
  bool operator==(const Rank&) const = default;
};

}  // namespace branchlora
