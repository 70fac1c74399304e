/// @file
/// A method as a type: a list of policies, checked and completed at compile time.
#pragma once

#include <ostream>
#include <string>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/balance.hpp"
#include "branchlora/adapter/policy/branch_start.hpp"
#include "branchlora/adapter/policy/branches.hpp"
#include "branchlora/adapter/policy/exhausted.hpp"
#include "branchlora/adapter/policy/freezing.hpp"
#include "branchlora/adapter/policy/gating.hpp"
#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/rank.hpp"
#include "branchlora/adapter/policy/reach.hpp"
#include "branchlora/adapter/policy/router.hpp"
#include "branchlora/adapter/policy/router_start.hpp"
#include "branchlora/adapter/policy/scaling.hpp"
#include "branchlora/adapter/policy/selector.hpp"
#include "branchlora/adapter/policy/supervision.hpp"
#include "branchlora/adapter/policy/task_router.hpp"
#include "branchlora/adapter/policy/top_k.hpp"
#include "branchlora/adapter/policy/transform.hpp"
#include "branchlora/adapter/policy/trunk.hpp"

namespace branchlora {

/// The library's categories, in the order in which an adapter prints them.
using Categories = List<category::Rank, category::Branches, category::TopK, category::Trunk,
                        category::Router, category::Gating, category::Freezing, category::Reach,
                        category::Exhausted, category::RouterStart, category::Selector,
                        category::Balance, category::Scaling, category::Init>;

template <class... Ps>
struct Adapter;

/// The adapter with the policies of a list. (Never defined: for `decltype`.)
template <class... Ps>
Adapter<Ps...> adapter_of(List<Ps...> policies);

/// A low-rank adapter of a frozen linear y = W x, written as a list of policies in any order:
///
///     y = W x + s sum_i g_i B_i A_i x
///
/// with x of `d_in`, A_i of rank x d_in (one A for all i with `trunk::Shared`), B_i of d_out x
/// rank, and g the gate weights of the chosen branches. A category that is not given takes its
/// default. The type is empty: it describes, and what runs is built from it.
template <class... Ps>
struct Adapter {
  static_assert((detail::Fit<Ps>::value && ...));
  static_assert((detail::alone<Ps, Ps...> && ...),
                "An Adapter takes at most one policy of a category: use with<...> to replace one.");

  /// The policy of a category: the given one or the default.
  template <class Category>
  using get = typename Policies<Ps...>::template get<Category>;

  /// This adapter with `Qs` in place of the policies of their categories. Categories that neither
  /// names follow their defaults anew.
  template <class... Qs>
  using with = decltype(adapter_of(detail::replace(List<Ps...>{}, List<Qs...>{})));

  using Trunk = get<category::Trunk>;
  using Transform = get<category::Transform>;
  using Router = get<category::Router>;
  using Gating = get<category::Gating>;
  using Freezing = get<category::Freezing>;
  using Reach = get<category::Reach>;
  using Exhausted = get<category::Exhausted>;
  using RouterStart = get<category::RouterStart>;
  using Selector = get<category::Selector>;
  using Balance = get<category::Balance>;
  using Supervision = get<category::Supervision>;
  using Scaling = get<category::Scaling>;
  using Init = get<category::Init>;
  using BranchStart = get<category::BranchStart>;

  /// What the router reads.
  using Granularity = typename Router::Granularity;

  /// Rank of one branch.
  static constexpr int rank = get<category::Rank>::value;
  /// Branches at the start.
  static constexpr int branches = get<category::Branches>::value;
  /// Branches that there can ever be: those at the start and those that may be added.
  static constexpr int capacity = branches + Exhausted::extra;
  /// Branches that a gate vector chooses.
  static constexpr int top_k = get<category::TopK>::value;
  /// Whether every branch is always chosen.
  static constexpr bool dense = top_k == capacity;
  /// Whether each task has a router of its own.
  static constexpr bool per_task_router = Router::per_task;
  /// Whether the tasks of training samples enter a loss or a choice of theirs.
  static constexpr bool labelled = Supervision::enabled || WeightBalance<Balance>;
  /// What the start of a branch asks for beside a shape.
  static constexpr init::Needs needs = init::needs_of<Init>();
  /// Whether a start is taken off the frozen weight.
  static constexpr bool residual = init::has_residual<Init>();
  /// Rows of all A's, of `d_in` columns each.
  static constexpr int a_rows = Trunk::rows(rank, capacity);
  /// Columns of all B's, of `d_out` rows each (rows as they are stored, transposed).
  static constexpr int b_rows = rank * capacity;
  /// Whether gates depend on neither input nor task, nor on scores.
  static constexpr bool constant_gates = requires { requires Router::constant; };
  /// Whether a sequence takes the branch of its task, without scores.
  static constexpr bool own_branch_gates = requires { requires Router::own_branch; };
  /// Rows of one router, of `d_in` columns each, one a score; 0 without a router.
  static constexpr int gate_rows = Router::rows(scores_of<Gating>(capacity));
  /// Trained biases of one router, of its last scores.
  static constexpr int gate_biases = gate_rows > 0 ? biased_scores_of<Gating>() : 0;

  static_assert(capacity <= max_branches,
                "An Adapter can have at most 64 branches, those that may be added included.");
  static_assert(top_k <= branches,
                "TopK exceeds Branches: a gate cannot choose more branches than there are.");
  static_assert(branches == 1 || gate_rows > 0 || constant_gates || own_branch_gates,
                "More than one branch needs a router: router::None gives them no weights.");
  static_assert(!constant_gates ||
                    (dense && !Balance::enabled && std::same_as<Gating, gating::TopKThenSoftmax>),
                "Constant gates need TopK equal to Branches, and neither gating nor balance.");
  static_assert(!own_branch_gates || std::same_as<Freezing, freezing::OwnBranch>,
                "router::OwnBranch needs freezing::OwnBranch: a task has one branch.");
  static_assert(!mixes_tasks<Selector> || own_branch_gates,
                "A selector that mixes tasks needs router::OwnBranch: it weighs their branches.");
  static_assert(!own_branch_gates || (top_k > 1) == mixes_tasks<Selector>,
                "router::OwnBranch needs TopK<1>, and more if a selector mixes tasks.");
  static_assert(per_task_router || !Selector::selects,
                "A selector needs per-task routers: without them there is nothing to select.");
  static_assert(!per_task_router || Selector::selects,
                "Per-task routers need a selector: selector::None leaves them without a task.");
  static_assert(
      BranchStart::at == StartAt::fresh || std::same_as<Freezing, freezing::OwnBranch>,
      "A branch starts at another one's values with freezing::OwnBranch only: elsewhere no "
      "branch is a task's.");
  static_assert(BranchStart::at == StartAt::fresh || !needs.any(),
                "A branch starts at another one's values or at what its init sees, not at both.");
  static_assert(BranchStart::at != StartAt::nearest || Selector::finds,
                "branch_start::Nearest needs a selector that finds tasks: it says which is near.");
  static_assert(per_task_router || !RouterStart::copies,
                "router_start::Copied needs per-task routers: a single router starts once.");
  static_assert(Freezing::count == 0 || branches > 1,
                "Freezing needs more than one branch: it would end all training.");
  static_assert(Freezing::count <= branches || branches == 1,
                "Freezing takes more branches after a task than the Adapter has.");
  static_assert(Freezing::count > 0 || !std::same_as<Reach, reach::FrozenOnly>,
                "reach::FrozenOnly needs a freezing policy: with freezing::Never nothing freezes.");
  static_assert(
      Freezing::count > 0 || Exhausted::extra == 0,
      "exhausted::Grow needs a freezing policy: with freezing::Never no branch runs out.");
  static_assert(
      !Balance::enabled || WeightBalance<Balance> || top_k < branches ||
          requires { Gating::sparse_by_value; },
      "A balance loss needs TopK below Branches: dense gates load all branches alike.");
  static_assert(!Balance::enabled || !std::same_as<Granularity, per::Task>,
                "A balance loss needs a router that reads its input: tasks need no balance.");
  static_assert(!Transform::enabled || (Trunk::shared && per_task_router),
                "transform::PerTask needs trunk::Shared and per-task routers.");
  static_assert(!WeightBalance<Balance> || !Granularity::per_sequence,
                "balance::Localised needs a router of tokens: it compares the tokens of a sample.");
  static_assert(!BiasBalance<Balance> || BiasedGating<Gating>,
                "balance::LossFree needs a gating with a bias, such as SigmoidRenormalised.");
  static_assert(!BiasedGating<Gating> || (gate_rows > 0 && !std::same_as<Granularity, per::Task>),
                "A gating with a bias needs a router that reads its input.");
  static_assert(!Supervision::enabled || (gate_rows > 0 && !per_task_router),
                "Supervision needs one router for all tasks, which learns to tell them apart.");
  static_assert(
      Supervision::enabled || !requires { Gating::needs_supervision; },
      "gating::Argmax needs supervision: no other gradient reaches its router.");
  static_assert(
      !requires { Router::per_block; } || requires { Gating::needs_supervision; },
      "router::PerBlock needs gating::Argmax: gates that are shared send no gradient back.");
  static_assert(
      dense || !requires { Gating::needs_dense; },
      "The gating needs TopK equal to Branches: it finds by itself how many have weight.");
  static_assert(!std::same_as<Granularity, per::Task> || gate_rows == Router::rows(capacity),
                "A gating of more scores than branches needs a router that reads its input.");
  static_assert(!needs.any() || capacity == 1 || (own_branch_gates && !Trunk::shared),
                "A start from more than a shape needs one branch, or trunk::Separate and "
                "router::OwnBranch: a branch starts with its task.");

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) {
    return Scaling::value(hyper.alpha, rank, branches);
  }

  /// Trainable parameters beside a linear; see `branchlora::parameters`.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return branchlora::parameters<Adapter>(d_in, d_out);
  }

  /// Operations beside a linear; see `branchlora::flops`.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    return branchlora::flops<Adapter>(d_in, d_out, tokens, sequences);
  }

  /// Bytes of AdamW training beside a linear; see `branchlora::optimizer_bytes`.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return branchlora::optimizer_bytes<Adapter>(d_in, d_out);
  }

  /// The full type with all defaults, in the order of `Categories`, then those of other categories.
  static std::string describe() {
    std::string text;
    const auto add = [&](const std::string& policy) {
      text += (text.empty() ? "" : ", ") + policy;
    };
    [&]<class... Cs>(List<Cs...>) { (add(branchlora::describe<get<Cs>>()), ...); }(Categories{});
    [[maybe_unused]] const auto add_other = [&]<class P>(List<P>) {
      if (!detail::contains<typename P::Category>(Categories{})) add(branchlora::describe<P>());
    };
    (add_other(List<Ps>{}), ...);
    return "Adapter<" + text + ">";
  }

  friend std::ostream& operator<<(std::ostream& out, const Adapter&) { return out << describe(); }
  bool operator==(const Adapter&) const = default;
};

}  // namespace branchlora
