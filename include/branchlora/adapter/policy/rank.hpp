/// @file
/// Policy: the rank of one branch.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

template <int R>
struct Rank;

namespace category {
/// The rank of one branch. Default: 8.
struct Rank {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    static_assert(Counted<P> || !say,
                  "A policy of category::Rank lacks `static constexpr int value`: the rank of one "
                  "branch, at least 1.");
    return Counted<P>;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = branchlora::Rank<8>;
};
}  // namespace category

/// Asks for `value`, the rank of one branch, at least 1.
template <class P>
concept RankPolicy = PolicyOf<P, category::Rank> && category::Rank::accepts<P>;

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
