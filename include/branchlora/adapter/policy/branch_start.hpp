/// @file
/// Policy: how the branch of a new task starts, where each task has one of its own.
#pragma once

#include <cstdint>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

/// The branch whose values a new task's branch takes.
enum class StartAt : std::uint8_t {
  fresh,    ///< None: as the init policy draws it.
  latest,   ///< That of the task before.
  nearest,  ///< That of the task for which the selector takes most of the new task's samples.
};

namespace branch_start {
struct Fresh;
}

namespace category {
/// How the branch of a new task starts. Default: `branch_start::Fresh`.
struct BranchStart {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool at = requires {
      { P::at } -> std::convertible_to<StartAt>;
    };
    static_assert(at || !say,
                  "A policy of category::BranchStart lacks `static constexpr StartAt at`: the "
                  "branch whose values a new task's branch takes.");
    return at;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = branch_start::Fresh;
};
}  // namespace category

/// Asks for `at`: the branch whose values a new task's branch takes.
template <class P>
concept BranchStartPolicy = PolicyOf<P, category::BranchStart> && category::BranchStart::accepts<P>;

namespace branch_start {

/// A as the init policy draws it, B at zero.
struct Fresh {
  using Category = category::BranchStart;
  static constexpr StartAt at = StartAt::fresh;
  static constexpr std::string_view name() { return "branch_start::Fresh"; }
  bool operator==(const Fresh&) const = default;
};

/// At the values of the task before: sequential fine-tuning that keeps a copy of every stage.
struct Latest {
  using Category = category::BranchStart;
  static constexpr StartAt at = StartAt::latest;
  static constexpr std::string_view name() { return "branch_start::Latest"; }
  bool operator==(const Latest&) const = default;
};

/// At the values of the nearest task: of the earlier tasks, the one for which the selector takes
/// the most of the new task's training samples, of equals the earlier. A new task goes on from what
/// is most like it, and what it goes on from is not touched.
struct Nearest {
  using Category = category::BranchStart;
  static constexpr StartAt at = StartAt::nearest;
  static constexpr std::string_view name() { return "branch_start::Nearest"; }
  bool operator==(const Nearest&) const = default;
};

}  // namespace branch_start
}  // namespace branchlora
