/// @file
/// Policy: the auxiliary loss that spreads tokens over the branches.
#pragma once

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace balance {
struct None;
}

namespace category {
struct Balance;
}

/// Asks for `enabled`, and for `slope(load, branches)`: the derivative of the loss by a branch's
/// mean probability, given its load. The loss is the sum over branches of slope times probability.
template <class P>
concept BalancePolicy = PolicyOf<P, category::Balance> && requires {
  { P::enabled } -> std::convertible_to<bool>;
  { P::slope(0.5, 2) } -> std::same_as<double>;
};

namespace category {
/// The load-balancing loss. Default: `balance::None`.
struct Balance {
  template <class P>
  static constexpr bool accepts = BalancePolicy<P>;
  template <class Given>
  using Default = balance::None;
};
}  // namespace category

namespace balance {

/// No auxiliary loss.
struct None {
  using Category = category::Balance;
  static constexpr bool enabled = false;
  static constexpr std::string_view name() { return "balance::None"; }
  static constexpr double slope(double /*load*/, int /*branches*/) { return 0.0; }
  bool operator==(const None&) const = default;
};

/// N sum_i f_i P_i: f_i is branch i's share of all choices (not differentiated), P_i the mean over
/// gate vectors of its probability under the softmax over all allowed branches. 1 when balanced,
/// N when one branch takes everything. Fedus et al., "Switch Transformers", JMLR 2022, equation 4,
/// with choices counted over top-k instead of top-1.
struct Switch {
  using Category = category::Balance;
  static constexpr bool enabled = true;
  static constexpr std::string_view name() { return "balance::Switch"; }
  static constexpr double slope(double load, int branches) { return branches * load; }
  bool operator==(const Switch&) const = default;
};

}  // namespace balance
}  // namespace branchlora
