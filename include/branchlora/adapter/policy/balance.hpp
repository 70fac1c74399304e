/// @file
/// Policy: what spreads tokens over the branches.
#pragma once

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace balance {
struct None;
}

/// A loss of the mean probabilities: `slope(load, branches)` is its derivative by a branch's, given
/// its load. The loss is the sum over branches of slope times probability.
template <class P>
concept ProbabilityBalance = requires {
  { P::slope(0.5, 2) } -> std::same_as<double>;
};

/// A loss of how unequal the weights of the branches are in each sample, every one of them times
/// `importance(branch, branches, type, delta)`, given the type of the sample's task.
template <class P>
concept WeightBalance = requires {
  { P::importance(0, 2, 1, 0.1) } -> std::same_as<double>;
};

/// No loss, but biases of a gating that takes them: `step(count, mean)` is the sign of the step of
/// a branch's, given how often it was chosen and the mean over branches.
template <class P>
concept BiasBalance = requires {
  { P::step(1.0, 2.0) } -> std::same_as<double>;
};

namespace category {
/// How load is balanced. Default: `balance::None`.
struct Balance {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool enabled = requires {
      { P::enabled } -> std::convertible_to<bool>;
    };
    static_assert(enabled || !say,
                  "A policy of category::Balance lacks `static constexpr bool enabled`: whether "
                  "load is balanced.");
    constexpr bool form = !enabled || requires {
      requires !P::enabled || ProbabilityBalance<P> || WeightBalance<P> || BiasBalance<P>;
    };
    static_assert(
        form || !say,
        "A policy of category::Balance lacks one of `static double slope(double load, int "
        "branches)`, `importance(int branch, int branches, int type, double delta)` and "
        "`step(double count, double mean)`: the form of balance.");
    return enabled && form;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = balance::None;
};
}  // namespace category

/// Asks for `enabled` and for the member of one of the forms above.
template <class P>
concept BalancePolicy = PolicyOf<P, category::Balance> && category::Balance::accepts<P>;

namespace balance {

/// Nothing does.
struct None {
  using Category = category::Balance;
  static constexpr bool enabled = false;
  static constexpr std::string_view name() { return "balance::None"; }
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

/// var(Z) / mean(Z)^2 over all samples s and branches b of a batch, with Z_sb = I_sb Q_sb: Q_sb is
/// the sum over the tokens of s of b's gate weight, and I_sb is 1 + delta for the half of the
/// branches that is of the type of s, 1 - delta for the other. The first half (of an odd number,
/// the smaller) is of type 0; a sample has the type of its task, `Hyper::task_types`. LoRAMoE's, in
/// training with known tasks; the variance is that of the population.
struct Localised {
  using Category = category::Balance;
  static constexpr bool enabled = true;
  static constexpr std::string_view name() { return "balance::Localised"; }
  static constexpr double importance(int branch, int branches, int type, double delta) {
    const int own = branch < branches / 2 ? 0 : 1;
    return own == type ? 1 + delta : 1 - delta;
  }
  bool operator==(const Localised&) const = default;
};

/// No loss: each branch has a bias that its gate value is raised by. After each training step's
/// forward pass, that of a branch which was chosen less often than the mean grows by
/// `Hyper::bias_rate`, that of one chosen more often falls. SMoRA's, after Wang et al.,
/// "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts", 2024.
struct LossFree {
  using Category = category::Balance;
  static constexpr bool enabled = true;
  static constexpr std::string_view name() { return "balance::LossFree"; }
  static constexpr double step(double count, double mean) {
    return count < mean ? 1.0 : count > mean ? -1.0 : 0.0;
  }
  bool operator==(const LossFree&) const = default;
};

}  // namespace balance
}  // namespace branchlora
