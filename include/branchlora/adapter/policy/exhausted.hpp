/// @file
/// Policy: what happens when a task begins and no tunable branch is left.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace exhausted {
struct ThawLeastActive;
}

namespace category {
/// What happens when no tunable branch is left. Default: `exhausted::ThawLeastActive`, which of the
/// policies that add nothing to the cost was measured best (docs/results/README.md).
struct Exhausted {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool extra = requires {
      { P::extra } -> std::convertible_to<int>;
    };
    static_assert(extra || !say,
                  "A policy of category::Exhausted lacks `static constexpr int extra`: how many "
                  "branches may be added in all.");
    constexpr bool thaw = requires(std::span<const double> activity, BranchSet set) {
      { P::thaw(activity, set, 1) } -> std::same_as<BranchSet>;
    };
    static_assert(
        thaw || !say,
        "A policy of category::Exhausted lacks `static BranchSet thaw(std::span<const double> "
        "activity, BranchSet frozen, int count)`: the branches that train again.");
    return extra && thaw;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = exhausted::ThawLeastActive;
};
}  // namespace category

/// Asks for `extra`, how many branches may be added in all (memory for them is set aside from the
/// start), and `thaw(activity, frozen, count)`, the frozen branches that train again; `count` is
/// the adapter's top-k and the activity is that of the last task. If neither a new nor a thawed
/// branch results, the task's router chooses among the frozen ones.
template <class P>
concept ExhaustedPolicy = PolicyOf<P, category::Exhausted> && category::Exhausted::accepts<P>;

namespace exhausted {

/// The task makes do with the frozen branches: only its router (and a shared trunk) learns.
struct FrozenOnly {
  using Category = category::Exhausted;
  static constexpr int extra = 0;
  static constexpr std::string_view name() { return "exhausted::FrozenOnly"; }
  static constexpr BranchSet thaw(std::span<const double> /*activity*/, BranchSet /*frozen*/,
                                  int /*count*/) {
    return 0;
  }
  bool operator==(const FrozenOnly&) const = default;
};

/// The least active frozen branches, as many as top-k, train again.
struct ThawLeastActive {
  using Category = category::Exhausted;
  static constexpr int extra = 0;
  static constexpr std::string_view name() { return "exhausted::ThawLeastActive"; }
  static constexpr BranchSet thaw(std::span<const double> activity, BranchSet frozen, int count) {
    return least_active(activity, frozen, count);
  }
  bool operator==(const ThawLeastActive&) const = default;
};

/// New branches, as many as top-k, are added each time, until `M` have been added; after that as
/// `FrozenOnly`.
template <int M>
struct Grow {
  static_assert(M >= 1, "The M of exhausted::Grow<M> must be at least 1.");
  using Category = category::Exhausted;
  static constexpr int extra = M;
  static std::string name() { return fmt::format("exhausted::Grow<{}>", M); }
  static constexpr BranchSet thaw(std::span<const double> /*activity*/, BranchSet /*frozen*/,
                                  int /*count*/) {
    return 0;
  }
  bool operator==(const Grow&) const = default;
};

}  // namespace exhausted
}  // namespace branchlora
