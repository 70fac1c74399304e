/// @file
/// Sets of branches, and the most and least active of a set.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "branchlora/core/error.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// A set of at most 64 branches: bit `i` stands for branch `i`.
using BranchSet = std::uint64_t;

/// The largest number of branches that an adapter can have.
inline constexpr int max_branches = 64;

/// The set of branches 0 .. count - 1, for count from 0 to 64.
constexpr BranchSet first_branches(int count) {
  return count >= max_branches ? ~BranchSet{0} : (BranchSet{1} << count) - 1;
}

/// Whether branch `i` is in the set.
BRANCHLORA_HD constexpr bool contains(BranchSet set, Index i) { return ((set >> i) & 1U) != 0; }

/// Throws `Error` naming `owner` if a set that was saved has no branch, or one beyond `count`.
inline void expect_saved_branches(BranchSet set, int count, const std::string& owner) {
  expect(set != 0 && (set & ~first_branches(count)) == 0,
         "{}: expected a saved set of some of {} branches, found {:#x}", owner, count, set);
}

/// The `count` branches of `among` (or all of them, if fewer) that come first when ordered by
/// `before` on their activity; of equals, the lower index. Branch i's activity is `activity[i]`.
template <std::predicate<double, double> Before>
constexpr BranchSet foremost(std::span<const double> activity, BranchSet among, int count,
                             Before before) {
  BranchSet chosen = 0;
  for (; count > 0; --count) {
    std::size_t best = activity.size();
    for (std::size_t i = 0; i < activity.size(); ++i) {
      if (((among & ~chosen) >> i & 1U) == 0) continue;
      if (best == activity.size() || before(activity[i], activity[best])) best = i;
    }
    if (best == activity.size()) break;
    chosen |= BranchSet{1} << best;
  }
  return chosen;
}

/// The `count` most active branches of `among`; of equals, the lower index.
constexpr BranchSet most_active(std::span<const double> activity, BranchSet among, int count) {
  return foremost(activity, among, count, std::greater<>());
}

/// The `count` least active branches of `among`; of equals, the lower index.
constexpr BranchSet least_active(std::span<const double> activity, BranchSet among, int count) {
  return foremost(activity, among, count, std::less<>());
}

}  // namespace branchlora
