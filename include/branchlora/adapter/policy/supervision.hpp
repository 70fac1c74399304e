/// @file
/// Policy: what the tasks of training samples teach a router, and in which stages.
#pragma once

#include <array>

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

/// One stage in which a task is learned.
struct Stage {
  double share = 1.0;       ///< Of the task's steps.
  bool bank = true;         ///< Whether A and B train, as far as the freezing policy lets them.
  bool router = true;       ///< Whether the router trains, on the routing loss among others.
  bool task_known = false;  ///< Whether a training sample takes its task's branch, with weight 1.
};

namespace supervision {
struct None;
}

namespace category {
/// What tasks teach a router. Default: `supervision::None`.
struct Supervision {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool enabled = requires {
      { P::enabled } -> std::convertible_to<bool>;
    };
    static_assert(enabled || !say,
                  "A policy of category::Supervision lacks `static constexpr bool enabled`: "
                  "whether branch t belongs to task t.");
    constexpr bool stages = requires {
      { P::stages.front() } -> std::convertible_to<Stage>;
    };
    static_assert(stages || !say,
                  "A policy of category::Supervision lacks `static constexpr std::array stages`: "
                  "the stages in which a task is learned, of Stage.");
    return enabled && stages;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = supervision::None;
};
}  // namespace category

/// Asks for `enabled`, whether branch t belongs to task t, and `stages`, an array of `Stage`. Where
/// enabled, a router that trains adds in training, for each layer,
///
///     routing_weight * mean over gate vectors of CE(scores over the branches allowed, task)
template <class P>
concept SupervisionPolicy = PolicyOf<P, category::Supervision> && category::Supervision::accepts<P>;

namespace supervision {

/// The router learns from the loss of the answer alone.
struct None {
  using Category = category::Supervision;
  static constexpr bool enabled = false;
  static constexpr std::array stages{Stage{}};
  static constexpr std::string_view name() { return "supervision::None"; }
  bool operator==(const None&) const = default;
};

/// A training sample goes through the branch of its task alone, while the router learns to tell the
/// tasks apart. No gradient reaches it but that of the routing loss.
struct TaskLabel {
  using Category = category::Supervision;
  static constexpr bool enabled = true;
  static constexpr std::array stages{Stage{.task_known = true}};
  static constexpr std::string_view name() { return "supervision::TaskLabel"; }
  bool operator==(const TaskLabel&) const = default;
};

/// Half of the steps train the branch of the task alone. In the other half it is frozen, and the
/// router learns from the loss of the answer, with gates of its own, and from the routing loss.
struct BankThenRouter {
  using Category = category::Supervision;
  static constexpr bool enabled = true;
  static constexpr std::array stages{Stage{.share = 0.5, .router = false, .task_known = true},
                                     Stage{.share = 0.5, .bank = false}};
  static constexpr std::string_view name() { return "supervision::BankThenRouter"; }
  bool operator==(const BankThenRouter&) const = default;
};

}  // namespace supervision
}  // namespace branchlora
