/// @file
/// Policy: how many branches a gate vector chooses.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/branches.hpp"

namespace branchlora {

template <int K>
struct TopK;

namespace category {
struct TopK;
}

/// Asks for `value`, the number of chosen branches, at least 1.
template <class P>
concept TopKPolicy = PolicyOf<P, category::TopK> && requires {
  { P::value } -> std::convertible_to<int>;
  requires P::value >= 1;
};

namespace category {
/// How many branches are chosen. Default: all of them, which is called dense.
struct TopK {
  template <class P>
  static constexpr bool accepts = TopKPolicy<P>;
  template <class Given>
  using Default = branchlora::TopK<Given::template get<Branches>::value>;
};
}  // namespace category

/// The `K` branches with the largest gate weights are chosen; the others are not computed.
template <int K>
struct TopK {
  static_assert(K >= 1, "The K of TopK<K> must be at least 1.");
  using Category = category::TopK;
  static constexpr int value = K;
  static std::string name() { return fmt::format("TopK<{}>", K); }
  bool operator==(const TopK&) const = default;
};

}  // namespace branchlora
