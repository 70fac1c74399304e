/// @file
/// Policy: what turns an input into one score for each branch.
#pragma once

#include <fmt/format.h>

#include <string>
#include <type_traits>
#include <vector>

#include "branchlora/adapter/gate/reference.hpp"
#include "branchlora/adapter/policy/branches.hpp"
#include "branchlora/adapter/policy/granularity.hpp"
#include "branchlora/core/backend.hpp"
#include "branchlora/core/numbered.hpp"

namespace branchlora {

template <Backend B, class V>
class NoGate;
template <Backend B, class V>
class UniformGate;
template <Backend B, class V>
class OwnBranchGate;
template <Backend B, class V>
class WeighedBranchesGate;
template <Backend B, class V, class Scores>
class GateLayer;
template <Backend B, class V, class Own>
class BlockGate;
template <Backend B, class V, bool Apart>
class LinearScores;

namespace router {
struct None;
template <class Granularity_ = per::Token>
struct Linear;
}  // namespace router

namespace category {
/// What scores the branches. Default: `router::Linear<>`, or `router::None` for a single branch.
struct Router {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool rows = requires {
      { P::rows(1) } -> std::same_as<int>;
    };
    static_assert(rows || !say,
                  "A policy of category::Router lacks `static constexpr int rows(int branches)`: "
                  "the rows of the router's weight.");
    constexpr bool per_task = requires {
      { P::per_task } -> std::convertible_to<bool>;
    };
    static_assert(per_task || !say,
                  "A policy of category::Router lacks `static constexpr bool per_task`: whether "
                  "each task trains a router of its own.");
    constexpr bool granularity = requires { typename P::Granularity; };
    static_assert(granularity || !say,
                  "A policy of category::Router lacks `using Granularity`: what the router reads, "
                  "a type such as those of per::.");
    if constexpr (granularity) {
      return rows && per_task && check_granularity<typename P::Granularity, say>();
    }
    return false;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = std::conditional_t<(Given::template get<Branches>::value > 1), router::Linear<>,
                                     router::None>;
};
}  // namespace category

/// Asks for `rows(scores)`, the rows of the router's weight beside A (0: no router), given how many
/// scores the gating asks for, one a branch unless it says otherwise; `per_task`,
/// whether each task trains a router of its own; `Granularity`, one of `per::`; and, to be run, for
/// the template `Gate<B, V>` that does it (see `GateLayer` in adapter/gate/). `constant` says that
/// the gates depend on neither input nor task: then they can be merged into a weight; `own_branch`
/// that a task takes its own branch. The tests ask
/// for a `reference` beside them (`ReferencedRouter`).
template <class P>
concept RouterPolicy = PolicyOf<P, category::Router> && category::Router::accepts<P>;

namespace router {

/// No router: the one branch always has weight 1.
struct None {
  using Category = category::Router;
  using Granularity = per::Token;
  template <class B, class V>
  using Gate = NoGate<B, V>;
  static constexpr bool per_task = false;
  static constexpr std::string_view name() { return "router::None"; }
  static constexpr int rows(int /*branches*/) { return 0; }
  static std::vector<double> reference(const UnitReference& /*unit*/) { return {0.0}; }
  bool operator==(const None&) const = default;
};

/// No scores: each of the n branches in use has the weight 1/n, whatever the input. Nothing is
/// trained but A and B, and the adapter can be merged into a weight, as the mean of its branches.
struct Uniform {
  using Category = category::Router;
  using Granularity = per::Token;
  template <class B, class V>
  using Gate = UniformGate<B, V>;
  static constexpr bool per_task = false;
  static constexpr bool constant = true;
  static constexpr std::string_view name() { return "router::Uniform"; }
  static constexpr int rows(int /*scores*/) { return 0; }
  static std::vector<double> reference(const UnitReference& unit) {
    return std::vector<double>(static_cast<std::size_t>(unit.scores));
  }
  bool operator==(const Uniform&) const = default;
};

/// No scores: a sequence of task t takes branch t, with weight 1. It needs `freezing::OwnBranch`.
/// Nothing is trained but A and B, and for one task the adapter is a weight. With a selector that
/// mixes tasks, a question takes the branches of TopK tasks, as they weigh.
struct OwnBranch {
  using Category = category::Router;
  using Granularity = per::Task;
  template <class B, class V>
  using Gate = std::conditional_t<V::top_k == 1, OwnBranchGate<B, V>, WeighedBranchesGate<B, V>>;
  static constexpr bool per_task = true;
  static constexpr bool own_branch = true;
  static constexpr std::string_view name() { return "router::OwnBranch"; }
  static constexpr int rows(int /*scores*/) { return 0; }
  static std::vector<double> reference(const UnitReference& unit) {
    return std::vector<double>(static_cast<std::size_t>(unit.scores));
  }
  bool operator==(const OwnBranch&) const = default;
};

/// Scores are R x, with R of shape branches x d_in and no bias (or as many rows as the gating asks
/// for, and a trained bias of the last of them if it wants one, from U(+-1/sqrt(d_in)) too); x is
/// the layer's input (after dropout) or, for one gate vector a sequence, what `Granularity_` makes
/// of it. R starts as U(+-1/sqrt(d_in)).
///
/// The code of CoIN's MoELoRA and of HydraLoRA has the router read x before dropout, that of SMoRA
/// after it. Here all read what A reads, so that R and A can be one matrix and one product; without
/// dropout, and at inference, there is no difference.
template <class Granularity_>
struct Linear {
  using Category = category::Router;
  using Granularity = Granularity_;
  template <class B, class V>
  using Gate = GateLayer<B, V, LinearScores<B, V, false>>;
  static constexpr bool per_task = false;
  static std::string name() { return fmt::format("router::Linear<{}>", Granularity::name()); }
  static constexpr int rows(int scores) { return scores; }
  static std::vector<double> reference(const UnitReference& unit) {
    auto scores = reference::times(unit.parameter(unit.router), unit.input);
    if (unit.biases == 0) return scores;
    const auto b = unit.parameter(unit.router + ".bias").front();
    for (std::size_t i = 0; i < b.size(); ++i) scores[scores.size() - b.size() + i] += b[i];
    return scores;
  }
  bool operator==(const Linear&) const = default;
};

/// One `Inner` router for all linears of a decoder block, which reads the input of the first. It
/// needs a gating that sends no gradient back, since the gates of all linears come from one.
template <RouterPolicy Inner>
struct PerBlock : Inner {
  static_assert(!Inner::per_task && Inner::rows(1) > 0,
                "The router inside PerBlock must be one router for all tasks.");
  template <class B, class V>
  using Gate = BlockGate<B, V, GateLayer<B, V, LinearScores<B, V, true>>>;
  static constexpr bool per_block = true;
  static std::string name() { return fmt::format("router::PerBlock<{}>", Inner::name()); }
  bool operator==(const PerBlock&) const = default;
};

/// A new `Inner` router for each task; the routers of earlier tasks are kept and never change. At
/// inference the selector picks the router.
template <RouterPolicy Inner = Linear<>>
struct PerTask {
  static_assert(!Inner::per_task, "The router inside PerTask must not be a PerTask itself.");
  static_assert(Inner::rows(1) > 0, "The router inside PerTask must not be router::None.");
  using Category = category::Router;
  using Granularity = typename Inner::Granularity;
  template <class B, class V>
  using Gate = typename Inner::template Gate<B, V>;
  static constexpr bool per_task = true;
  static std::string name() { return fmt::format("router::PerTask<{}>", Inner::name()); }
  static constexpr int rows(int scores) { return Inner::rows(scores); }
  static std::vector<double> reference(UnitReference unit) {
    unit.router = numbered(unit.router, unit.task);
    return Inner::reference(unit);
  }
  bool operator==(const PerTask&) const = default;
};

}  // namespace router
}  // namespace branchlora
