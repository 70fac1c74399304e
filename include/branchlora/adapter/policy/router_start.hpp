/// @file
/// Policy: how the router of a new task starts.
#pragma once

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace router_start {
struct Fresh;
}

namespace category {
struct RouterStart;
}

/// Asks for `copies`: whether a new task's router begins as the last task's (else anew).
template <class P>
concept RouterStartPolicy = PolicyOf<P, category::RouterStart> && requires {
  { P::copies } -> std::convertible_to<bool>;
};

namespace category {
/// How a new task's router starts. Default: `router_start::Fresh`.
struct RouterStart {
  template <class P>
  static constexpr bool accepts = RouterStartPolicy<P>;
  template <class Given>
  using Default = router_start::Fresh;
};
}  // namespace category

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
