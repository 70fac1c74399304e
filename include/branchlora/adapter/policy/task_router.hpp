/// @file
/// Policies: routers that know the task and do not read the input.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "branchlora/adapter/policy/router.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora {

template <Backend B, class V>
class TaskScores;

/// Whether `R` has each member of a `TaskRouter`; if not, an error for it where `say` holds.
template <class R, bool say = false>
consteval bool check_task_router() {
  constexpr bool router = requires {
    requires RouterPolicy<R> && R::per_task && std::same_as<typename R::Granularity, per::Task>;
  };
  static_assert(
      router || !say,
      "A router of tasks lacks `per_task`, which is true, or `Granularity`, which is per::Task.");
  constexpr bool width = requires {
    { R::width(2, 8) } -> std::same_as<std::int64_t>;
  };
  static_assert(width || !say,
                "A router of tasks lacks `static constexpr std::int64_t width(int branches, "
                "std::int64_t d_in)`: the numbers that each task trains.");
  constexpr bool start = requires(const Random& random) {
    { R::start(random, std::uint64_t{0}, 2) } -> std::same_as<double>;
  };
  static_assert(start || !say,
                "A router of tasks lacks `static double start(const Random& random, std::uint64_t "
                "i, int branches)`: how number i of a task starts.");
  constexpr bool mapped = requires {
    { R::mapped } -> std::convertible_to<bool>;
  };
  static_assert(mapped || !say,
                "A router of tasks lacks `static constexpr bool mapped`: whether a matrix makes "
                "scores of a task's numbers.");
  constexpr bool bias = requires {
    { R::bias } -> std::convertible_to<bool>;
  };
  static_assert(
      bias || !say,
      "A router of tasks lacks `static constexpr bool bias`: whether that matrix has a bias.");
  constexpr bool gain = requires {
    { R::gain } -> std::convertible_to<double>;
  };
  static_assert(gain || !say,
                "A router of tasks lacks `static constexpr double gain`: the matrix starts as "
                "U(+-gain/sqrt(width)).");
  constexpr bool contrastive = requires {
    { R::contrastive } -> std::convertible_to<bool>;
  };
  static_assert(contrastive || !say,
                "A router of tasks lacks `static constexpr bool contrastive`: whether it trains by "
                "a contrastive loss.");
  constexpr bool drawn = requires {
    { R::drawn } -> std::convertible_to<bool>;
  };
  static_assert(drawn || !say,
                "A router of tasks lacks `static constexpr bool drawn`: whether a task keeps the "
                "branch that is best at its start.");
  constexpr bool per_model = requires {
    { R::per_model } -> std::convertible_to<bool>;
  };
  static_assert(per_model || !say,
                "A router of tasks lacks `static constexpr bool per_model`: whether all linears of "
                "a model share it.");
  return router && width && start && mapped && bias && gain && contrastive && drawn && per_model;
}

/// What `TaskScores` asks of a router beside `RouterPolicy`:
///
/// - `width(branches, d_in)`, the numbers that each task trains for itself, and `start(random, i)`,
///   how number i of `branches` starts;
/// - `mapped`, whether a matrix (branches x width) that tasks share makes scores of them, else they
///   are the scores; `bias`, whether it has one; `gain`, which makes it start as
///   U(+-gain/sqrt(width)), its bias as U(+-1/sqrt(width));
/// - `contrastive`, whether the loss of `router::ContrastiveEmbedding` is added in training;
/// - `drawn`, whether each task keeps for ever the branch that is best at its random start;
/// - `per_model`, whether all linears of a model have one such router.
template <class R>
concept TaskRouter = check_task_router<R>();

namespace router {

/// The members that all routers of tasks have in common.
struct OfTask {
  using Category = category::Router;
  using Granularity = per::Task;
  template <class B, class V>
  using Gate = GateLayer<B, V, TaskScores<B, V>>;
  static constexpr bool per_task = true;
  static constexpr bool mapped = true;
  static constexpr bool bias = false;
  static constexpr double gain = 1.0;
  static constexpr bool contrastive = false;
  static constexpr bool drawn = false;
  static constexpr bool per_model = false;
  static constexpr int rows(int branches) { return branches; }
  /// What the task trains for itself.
  static std::vector<double> own(const UnitReference& unit) {
    return unit.parameter(numbered(".router", unit.task)).front();
  }
  static std::vector<double> reference(const UnitReference& unit) {
    return reference::times(unit.parameter(".router.shared"), own(unit));
  }
  bool operator==(const OfTask&) const = default;
};

/// Scores are w_t / temperature, with a free number for each task and branch. They start as
/// U(+-1/sqrt(branches)).
struct TaskWeights : OfTask {
  static constexpr bool mapped = false;
  static constexpr std::string_view name() { return "router::TaskWeights"; }
  static constexpr std::int64_t width(int branches, std::int64_t /*d_in*/) { return branches; }
  static double start(const Random& random, std::uint64_t i, int branches) {
    const double bound = 1.0 / std::sqrt(branches);
    return random.uniform(i, -bound, bound);
  }
  static std::vector<double> reference(const UnitReference& unit) { return own(unit); }
  bool operator==(const TaskWeights&) const = default;
};

/// Scores are W e_t / temperature, with an embedding of `D` numbers for each task, N(0, 1) at
/// first, and a W of branches x D for all tasks, without bias, which starts as U(+-1/sqrt(D)).
template <int D>
struct TaskEmbedding : OfTask {
  static_assert(D >= 1, "The D of router::TaskEmbedding<D> must be at least 1.");
  static std::string name() { return fmt::format("router::TaskEmbedding<{}>", D); }
  static constexpr std::int64_t width(int /*branches*/, std::int64_t /*d_in*/) { return D; }
  static double start(const Random& random, std::uint64_t i, int /*branches*/) {
    return random.normal(i);
  }
  bool operator==(const TaskEmbedding&) const = default;
};

/// Scores are (W e_t + b) / temperature, with an embedding as wide as the layer's input. In
/// training with known tasks, each layer adds
///
///     contrast_weight * mean over sequences of CE(cos(h, e_k) / 0.05 over the tasks k, task)
///
/// with h the first token of the layer's input (after dropout), over the tasks begun so far. e
/// starts as N(0, 0.01^2), W as He et al. 2015 for ReLU, U(+-sqrt(6/d_in)). MoRE's.
struct ContrastiveEmbedding : OfTask {
  static constexpr bool bias = true;
  static constexpr double gain = 2.449489742783178;  // sqrt(6)
  static constexpr bool contrastive = true;
  static constexpr std::string_view name() { return "router::ContrastiveEmbedding"; }
  static constexpr std::int64_t width(int /*branches*/, std::int64_t d_in) { return d_in; }
  static double start(const Random& random, std::uint64_t i, int /*branches*/) {
    return 0.01 * random.normal(i);
  }
  static std::vector<double> reference(const UnitReference& unit) {
    auto scores = OfTask::reference(unit);
    const auto b = unit.parameter(".router.shared.bias").front();
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] += b[i];
    return scores;
  }
  bool operator==(const ContrastiveEmbedding&) const = default;
};

/// Each task keeps for ever the branch that `Inner` scores highest at the random start of the task.
/// No gradient reaches its scores.
template <class Inner>
struct Drawn : Inner {
  static_assert(TaskRouter<Inner>, "The router inside Drawn must be a router of tasks.");
  static constexpr bool drawn = true;
  static std::string name() { return fmt::format("router::Drawn<{}>", Inner::name()); }
  bool operator==(const Drawn&) const = default;
};

/// One `Inner` for all linears of a model: the tasks' numbers and the matrix are there once, and
/// the gradients of all linears add up in them.
template <class Inner>
struct PerModel : Inner {
  static_assert(TaskRouter<Inner>, "The router inside PerModel must be a router of tasks.");
  static_assert(Inner::mapped && Inner::width(2, 8) == Inner::width(2, 16),
                "The router inside PerModel must be as wide for every linear, with a matrix.");
  static constexpr bool per_model = true;
  static std::string name() { return fmt::format("router::PerModel<{}>", Inner::name()); }
  bool operator==(const PerModel&) const = default;
};

}  // namespace router
}  // namespace branchlora
