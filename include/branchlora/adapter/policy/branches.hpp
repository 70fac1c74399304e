/// @file
/// Policy: how many branches (experts) an adapter has.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

template <int N>
struct Branches;

namespace category {
/// How many branches there are. Default: 1.
struct Branches {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    static_assert(Counted<P> || !say,
                  "A policy of category::Branches lacks `static constexpr int value`: the number "
                  "of branches, at least 1.");
    return Counted<P>;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = branchlora::Branches<1>;
};
}  // namespace category

/// Asks for `value`, the number of branches, at least 1.
template <class P>
concept BranchesPolicy = PolicyOf<P, category::Branches> && category::Branches::accepts<P>;

/// `N` branches, each with its own B.
template <int N>
struct Branches {
  static_assert(N >= 1, "The N of Branches<N> must be at least 1.");
  using Category = category::Branches;
  static constexpr int value = N;
  static std::string name() { return fmt::format("Branches<{}>", N); }
  bool operator==(const Branches&) const = default;
};

}  // namespace branchlora
