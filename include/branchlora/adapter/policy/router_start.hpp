/// @file
/// Policy: how the router of a new task starts.
#pragma once

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace router_start {
struct Fresh;
}

namespace category {
/// How a new task's router starts. Default: `router_start::Fresh`.
struct RouterStart {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool copies = requires {
      { P::copies } -> std::convertible_to<bool>;
    };
    static_assert(copies || !say,
                  "A policy of category::RouterStart lacks `static constexpr bool copies`: whether "
                  "a new router begins as the last task's.");
    return copies;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = router_start::Fresh;
};
}  // namespace category

/// Asks for `copies`: whether a new task's router begins as the last task's (else anew).
template <class P>
concept RouterStartPolicy = PolicyOf<P, category::RouterStart> && category::RouterStart::accepts<P>;

namespace router_start {

/// With new random weights, drawn as the first router's were.
struct Fresh {
  using Category = category::RouterStart;
  static constexpr bool copies = false;
  static constexpr std::string_view name() { return "router_start::Fresh"; }
  bool operator==(const Fresh&) const = default;
};

/// With the weights of the task before.
struct Copied {
  using Category = category::RouterStart;
  static constexpr bool copies = true;
  static constexpr std::string_view name() { return "router_start::Copied"; }
  bool operator==(const Copied&) const = default;
};

}  // namespace router_start
}  // namespace branchlora
