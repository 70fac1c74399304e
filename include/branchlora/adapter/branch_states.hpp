/// @file
/// Which branches of an adapter are in use, which of them are frozen, and how active each is.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// The sets of branches of variant V, moved from task to task by its policies of freezing, reach
/// and exhaustion.
template <class V>
class BranchStates {
 public:
  /// Whether branch t belongs to task t.
  static constexpr bool own_branches = requires { V::Freezing::own_branch; };

  explicit BranchStates(std::string name)
      : name_(std::move(name)),
        active_(own_branches ? 0 : first_branches(V::branches)),
        activity_(V::capacity, 0.0),
        last_activity_(activity_) {}

  /// The branches in use.
  BranchSet active() const { return active_; }
  /// The branches whose B never changes again, unless the policy for exhausted branches thaws it.
  BranchSet frozen() const { return frozen_; }
  /// The branches whose B trains.
  BranchSet tunable() const { return active_ & ~frozen_; }
  /// What the router of a task that begins now may choose: what the reach policy allows, where
  /// routers are per task, and every branch in use else.
  BranchSet reachable() const {
    const BranchSet set = V::per_task_router ? V::Reach::allowed(tunable(), frozen_) : active_;
    return set == 0 ? active_ : set;
  }

  /// Starts task `task`. Where branches belong to tasks, that of `task` comes into use; throws
  /// `Error` that names the layer if there is none. Else, if no branch is left to train, the policy
  /// for exhausted branches acts.
  void begin_task(Index task) {
    if constexpr (own_branches) {
      expect(task == std::popcount(active_), "{}: expected task {} to begin, found {}", name_,
             std::popcount(active_), task);
      expect(task < V::capacity, "{}: a bank of {} branches has none for task {}", name_,
             V::capacity, task);
      active_ = first_branches(static_cast<int>(task) + 1);
    } else if (tunable() == 0) {
      frozen_ &= ~V::Exhausted::thaw(last_activity_, frozen_, V::top_k);
      active_ = first_branches(std::min(std::popcount(active_) + V::top_k, V::capacity));
    }
  }

  /// Ends a task: freezes the branches that the freezing policy names, given how active each was in
  /// what was observed since the last call.
  void end_task() {
    last_activity_ = activity();
    frozen_ |= V::Freezing::choose(last_activity_, tunable());
    activity_.assign(activity_.size(), 0.0);
    observed_ = 0;
  }

  /// Adds the gates of a batch, one row a unit, to what was observed.
  template <class B, class T>
  void observe(B& backend, MatrixView<T> gates) {
    for (Index b = 0; b < V::capacity; ++b) {
      activity_[static_cast<std::size_t>(b)] +=
          backend.sum(gates.rows, [=] BRANCHLORA_BODY(Index i) {
            return V::Freezing::Activity::of(static_cast<double>(gates(i, b)));
          });
    }
    observed_ += gates.rows;
  }

  /// The activity of each branch, as the freezing policy measures it, in what was observed.
  std::vector<double> activity() const {
    std::vector<double> mean = activity_;
    for (double& a : mean) a /= observed_ > 0 ? static_cast<double>(observed_) : 1.0;
    return mean;
  }

  /// The two sets, and the activity in the last task, the bits of a double for each branch.
  std::vector<std::uint64_t> state() const {
    std::vector<std::uint64_t> s{active_, frozen_};
    for (const double a : last_activity_) s.push_back(std::bit_cast<std::uint64_t>(a));
    return s;
  }

  /// Takes them from the front of `s`, and returns what follows. Throws `Error` that names the
  /// layer if they are none of such an adapter.
  std::span<const std::uint64_t> restore(std::span<const std::uint64_t> s) {
    constexpr std::size_t fixed = 2 + static_cast<std::size_t>(V::capacity);
    expect(s.size() >= fixed, "{}: the saved state has {} numbers, expected at least {}", name_,
           s.size(), fixed);
    for (const BranchSet set : {s[0], s[1]}) {
      if (set != 0) expect_saved_branches(set, V::capacity, name_);
    }
    active_ = s[0];
    frozen_ = s[1];
    for (std::size_t i = 2; i < fixed; ++i) last_activity_[i - 2] = std::bit_cast<double>(s[i]);
    return s.subspan(fixed);
  }

 private:
  std::string name_;
  BranchSet active_;
  BranchSet frozen_ = 0;
  std::vector<double> activity_, last_activity_;
  Index observed_ = 0;
};

}  // namespace branchlora
