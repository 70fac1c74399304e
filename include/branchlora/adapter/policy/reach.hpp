/// @file
/// Policy: which branches the router of a later task may choose.
#pragma once

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace reach {
struct All;
}

namespace category {
/// Which branches a later task's router may choose. Default: `reach::All`.
struct Reach {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool allowed = requires(BranchSet set) {
      { P::allowed(set, set) } -> std::same_as<BranchSet>;
    };
    static_assert(allowed || !say,
                  "A policy of category::Reach lacks `static BranchSet allowed(BranchSet tunable, "
                  "BranchSet frozen)`: the branches that a router may choose.");
    return allowed;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = reach::All;
};
}  // namespace category

/// Asks for `allowed(tunable, frozen)`, the branches that a router may choose while it trains.
/// Where none is allowed, the exhausted policy decides; before anything is frozen, all are allowed.
template <class P>
concept ReachPolicy = PolicyOf<P, category::Reach> && category::Reach::accepts<P>;

namespace reach {

/// Tunable and frozen branches alike.
struct All {
  using Category = category::Reach;
  static constexpr std::string_view name() { return "reach::All"; }
  static constexpr BranchSet allowed(BranchSet tunable, BranchSet frozen) {
    return tunable | frozen;
  }
  bool operator==(const All&) const = default;
};

/// Branches that still train, so that no task leans on another's.
struct TunableOnly {
  using Category = category::Reach;
  static constexpr std::string_view name() { return "reach::TunableOnly"; }
  static constexpr BranchSet allowed(BranchSet tunable, BranchSet /*frozen*/) { return tunable; }
  bool operator==(const TunableOnly&) const = default;
};

/// Branches that earlier tasks left behind: from the second task on only routers (and a shared
/// trunk) learn.
struct FrozenOnly {
  using Category = category::Reach;
  static constexpr std::string_view name() { return "reach::FrozenOnly"; }
  static constexpr BranchSet allowed(BranchSet tunable, BranchSet frozen) {
    return frozen != 0 ? frozen : tunable;
  }
  bool operator==(const FrozenOnly&) const = default;
};

}  // namespace reach
}  // namespace branchlora
