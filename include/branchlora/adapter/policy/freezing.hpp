/// @file
/// Policy: which branches stop training when a task ends.
#pragma once

#include <fmt/format.h>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

/// Whether `A` has each member of an `ActivityMeasure`; if not, an error for it where `say` holds.
template <class A, bool say = false>
consteval bool check_activity() {
  constexpr bool of = requires {
    { A::of(0.5) } -> std::same_as<double>;
  };
  static_assert(of || !say,
                "The Activity of a freezing policy lacks `static double of(double weight)`: what a "
                "gate weight adds to its branch's activity.");
  constexpr bool name = requires {
    { A::name() } -> std::convertible_to<std::string_view>;
  };
  static_assert(name || !say,
                "The Activity of a freezing policy lacks `static std::string_view name()`: how it "
                "is written in a program.");
  return of && name;
}

/// Asks for `of(weight)`, what a gate weight adds to its branch's activity (weight 0: not chosen),
/// and `name()`. The activity of a branch is the mean of this over the task's gate vectors.
template <class A>
concept ActivityMeasure = check_activity<A>();

/// What "active" means. Not a category: a part of a freezing policy.
namespace activity {

/// A branch is as active as its mean gate weight.
struct MeanWeight {
  static constexpr std::string_view name() { return "activity::MeanWeight"; }
  static constexpr double of(double weight) { return weight; }
  bool operator==(const MeanWeight&) const = default;
};

/// A branch is as active as it is often chosen. Says nothing about dense gates, which choose all.
struct SelectionCount {
  static constexpr std::string_view name() { return "activity::SelectionCount"; }
  static constexpr double of(double weight) { return weight > 0 ? 1.0 : 0.0; }
  bool operator==(const SelectionCount&) const = default;
};

}  // namespace activity

namespace freezing {
struct Never;
}

namespace category {
/// What is frozen after a task. Default: `freezing::Never`.
struct Freezing {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool measured = requires { typename P::Activity; };
    static_assert(measured || !say,
                  "A policy of category::Freezing lacks `using Activity`: what is measured while a "
                  "task trains, a type such as those of activity::.");
    constexpr bool choose = requires(std::span<const double> activity, BranchSet set) {
      { P::choose(activity, set) } -> std::same_as<BranchSet>;
    };
    static_assert(choose || !say,
                  "A policy of category::Freezing lacks `static BranchSet choose(std::span<const "
                  "double> activity, BranchSet tunable)`: what a task freezes.");
    constexpr bool count = requires {
      { P::count } -> std::convertible_to<int>;
    };
    static_assert(count || !say,
                  "A policy of category::Freezing lacks `static constexpr int count`: the most "
                  "branches that it freezes by activity.");
    if constexpr (measured) return choose && count && check_activity<typename P::Activity, say>();
    return false;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = freezing::Never;
};
}  // namespace category

/// Asks for `Activity`, what is measured while a task trains; `choose(activity, tunable)`, the
/// branches of `tunable` to freeze when it ends, with the activity of every branch; and `count`,
/// the most that it freezes by activity (0: it asks for none). A policy with a member
/// `own_branch` gives every task a branch: branch t is in use from the beginning of task t on, and
/// where each has an A of its own, it trains and freezes with its B.
template <class P>
concept FreezingPolicy = PolicyOf<P, category::Freezing> && category::Freezing::accepts<P>;

namespace freezing {

/// All branches train in all tasks.
struct Never {
  using Category = category::Freezing;
  using Activity = activity::MeanWeight;
  static constexpr int count = 0;
  static constexpr std::string_view name() { return "freezing::Never"; }
  static constexpr BranchSet choose(std::span<const double> /*activity*/, BranchSet /*tunable*/) {
    return 0;
  }
  bool operator==(const Never&) const = default;
};

/// After each task, the `K` most active of the tunable branches of each adapted linear are frozen
/// (their B's; a shared A goes on training). BranchLoRA's tuning-freezing; that activity is counted
/// for each linear by itself, and as the mean gate weight, is our reading.
template <int K, class Activity_ = activity::MeanWeight>
struct MostActive {
  static_assert(K >= 1, "The K of freezing::MostActive<K> must be at least 1.");
  using Category = category::Freezing;
  using Activity = Activity_;
  static constexpr int count = K;
  static std::string name() {
    return fmt::format("freezing::MostActive<{}, {}>", K, Activity::name());
  }
  static constexpr BranchSet choose(std::span<const double> activity, BranchSet tunable) {
    return most_active(activity, tunable, K);
  }
  bool operator==(const MostActive&) const = default;
};

/// Branch t trains in task t and is frozen when it ends: a bank of one adapter a task. Tasks that
/// begin without an end between them train their branches side by side.
struct OwnBranch {
  using Category = category::Freezing;
  using Activity = activity::MeanWeight;
  static constexpr int count = 0;
  static constexpr bool own_branch = true;
  static constexpr std::string_view name() { return "freezing::OwnBranch"; }
  static constexpr BranchSet choose(std::span<const double> /*activity*/, BranchSet tunable) {
    return tunable;
  }
  bool operator==(const OwnBranch&) const = default;
};

}  // namespace freezing
}  // namespace branchlora
