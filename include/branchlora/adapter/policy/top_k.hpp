/// @file
/// Policy: how many branches a gate vector chooses.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/branches.hpp"

namespace branchlora {

template <int K>
struct TopK;

namespace category {
/// How many branches are chosen. Default: all of them, which is called dense.
struct TopK {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    static_assert(Counted<P> || !say,
                  "A policy of category::TopK lacks `static constexpr int value`: how many "
                  "branches are chosen, at least 1.");
    return Counted<P>;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = branchlora::TopK<Given::template get<Branches>::value>;
};
}  // namespace category

/// Asks for `value`, the number of chosen branches, at least 1.
template <class P>
concept TopKPolicy = PolicyOf<P, category::TopK> && category::TopK::accepts<P>;

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
