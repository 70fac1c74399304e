/// @file
/// Policy: how a sample finds the router of its task at inference.
#pragma once

#include "branchlora/adapter/policy/router.hpp"

namespace branchlora {

namespace selector {
struct None;
struct NearestKey;
}  // namespace selector

namespace category {
/// How a router is picked. Default: `selector::NearestKey` with per-task routers, else
/// `selector::None`.
struct Selector {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool selects = requires {
      { P::selects } -> std::convertible_to<bool>;
    };
    static_assert(selects || !say,
                  "A policy of category::Selector lacks `static constexpr bool selects`: whether "
                  "there is a router to select.");
    constexpr bool uses_keys = requires {
      { P::uses_keys } -> std::convertible_to<bool>;
    };
    static_assert(uses_keys || !say,
                  "A policy of category::Selector lacks `static constexpr bool uses_keys`: whether "
                  "keys of the tasks are gathered.");
    return selects && uses_keys;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = std::conditional_t<Given::template get<Router>::per_task, selector::NearestKey,
                                     selector::None>;
};
}  // namespace category

/// Asks for `selects`, whether there is anything to select, and `uses_keys`, whether keys of the
/// tasks are gathered while they train (else the true task is given).
template <class P>
concept SelectorPolicy = PolicyOf<P, category::Selector> && category::Selector::accepts<P>;

namespace selector {

/// One router serves all tasks: there is nothing to select.
struct None {
  using Category = category::Selector;
  static constexpr bool selects = false;
  static constexpr bool uses_keys = false;
  static constexpr std::string_view name() { return "selector::None"; }
  bool operator==(const None&) const = default;
};

/// The true task is told at inference: the upper bound of any selector.
struct Given {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool uses_keys = false;
  static constexpr std::string_view name() { return "selector::Given"; }
  bool operator==(const Given&) const = default;
};

/// Each task has an image key and a text key, the means of its samples' unit embeddings; a sample
/// goes to the task with the largest cos(image, image key) + cos(text, text key). The means are the
/// exact optimum of BranchLoRA's alignment loss over fixed embeddings, so the keys need no
/// gradient. That the two cosines are summed unweighted is our reading.
struct NearestKey {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool uses_keys = true;
  static constexpr std::string_view name() { return "selector::NearestKey"; }
  bool operator==(const NearestKey&) const = default;
};

}  // namespace selector
}  // namespace branchlora
