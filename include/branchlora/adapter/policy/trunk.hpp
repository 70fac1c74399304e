/// @file
/// Policy: whether the branches share their A.
#pragma once

#include <fmt/format.h>

#include <string>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace trunk {
struct Separate;
}

namespace category {
/// Whether the branches share their A. Default: `trunk::Separate`.
struct Trunk {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool rows = requires {
      { P::rows(1, 1) } -> std::same_as<int>;
    };
    static_assert(rows || !say,
                  "A policy of category::Trunk lacks `static constexpr int rows(int rank, int "
                  "branches)`: the rows of all A's together.");
    constexpr bool shared = requires {
      { P::shared } -> std::convertible_to<bool>;
    };
    static_assert(shared || !say,
                  "A policy of category::Trunk lacks `static constexpr bool shared`: whether all "
                  "branches read the same rows.");
    return rows && shared;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = trunk::Separate;
};
}  // namespace category

/// Asks for `rows(rank, branches)`, the rows of all A's together, and `shared`, whether every
/// branch reads the same `rank` rows. A policy with a member `trained_tasks` trains A in as many
/// tasks, the first ones.
template <class P>
concept TrunkPolicy = PolicyOf<P, category::Trunk> && category::Trunk::accepts<P>;

namespace trunk {

/// Every branch has an A of its own: delta = s sum_i g_i B_i A_i x.
struct Separate {
  using Category = category::Trunk;
  static constexpr bool shared = false;
  static constexpr std::string_view name() { return "trunk::Separate"; }
  static constexpr int rows(int rank, int branches) { return rank * branches; }
  bool operator==(const Separate&) const = default;
};

/// One A for all branches: delta = s sum_i g_i B_i A x.
struct Shared {
  using Category = category::Trunk;
  static constexpr bool shared = true;
  static constexpr std::string_view name() { return "trunk::Shared"; }
  static constexpr int rows(int rank, int /*branches*/) { return rank; }
  bool operator==(const Shared&) const = default;
};

/// One A for all branches, which trains in the first `Tasks` tasks and is frozen when they have
/// ended: branches that were frozen in later tasks read the same u for ever, so that nothing drifts
/// under them.
template <int Tasks>
struct FrozenAfter {
  static_assert(Tasks >= 1, "The Tasks of trunk::FrozenAfter<Tasks> must be at least 1.");
  using Category = category::Trunk;
  static constexpr bool shared = true;
  static constexpr int trained_tasks = Tasks;
  static std::string name() { return fmt::format("trunk::FrozenAfter<{}>", Tasks); }
  static constexpr int rows(int rank, int /*branches*/) { return rank; }
  bool operator==(const FrozenAfter&) const = default;
};

}  // namespace trunk
}  // namespace branchlora
