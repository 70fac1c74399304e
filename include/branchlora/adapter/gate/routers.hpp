/// @file
/// The routers of tasks, or the one of all tasks: what a task begins, freezes, saves and restores.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/gate/task_runs.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/autograd/parameter.hpp"

namespace branchlora {

/// One router a task, if `per_task`, or one for all. Each has a parameter and a set of branches
/// that it may choose. `make(task)` below adds the parameter of a new task's router, started and
/// trainable, and returns it, or a `Router` of which all but the set is used.
template <Backend B>
class Routers {
 public:
  using T = typename B::Scalar;
  struct Router {
    Parameter<T>* weight;
    BranchSet allowed;
    Parameter<T>* bias = nullptr;  ///< Of the last scores, where they have any; trained like R.

    const T* bias_data() const { return bias == nullptr ? nullptr : bias->value.data; }
  };

  Routers(ParameterSet<B>& parameters, std::string name, bool per_task, int branches)
      : parameters_(&parameters),
        name_(std::move(name)),
        per_task_(per_task),
        branches_(branches) {}

  /// Adds a router, which may choose among `allowed`.
  void add(Router router) { routers_.push_back(router); }

  /// Lets the router of `task` (a new one, where routers are per task) choose among `allowed`.
  template <class Make>
  void begin_task(Index task, BranchSet allowed, Make make) {
    if (per_task_) {
      expect(task == count(), "{}: expected task {} to begin, found {}", name_, count(), task);
      add(made(make(task), allowed));
    } else {
      routers_.front().allowed = allowed;
    }
  }

  /// Trains all routers, or freezes them.
  void train(bool on) {
    for (Router& r : routers_) {
      parameters_->set_trainable(*r.weight, on);
      if (r.bias != nullptr) parameters_->set_trainable(*r.bias, on);
    }
  }

  /// Freezes the routers of tasks that have ended; the one of all tasks trains on.
  void end_task() {
    if (per_task_) train(false);
  }

  /// Whether a router trains.
  bool trains() const {
    for (const Router& r : routers_) {
      if (r.weight->trainable) return true;
    }
    return false;
  }

  /// How many routers there are.
  Index count() const { return std::ssize(routers_); }
  /// The router of `task`, or the one of all.
  const Router& of(Index task) const {
    return routers_[static_cast<std::size_t>(per_task_ ? task : 0)];
  }
  Router& of(Index task) { return routers_[static_cast<std::size_t>(per_task_ ? task : 0)]; }
  auto begin() const { return routers_.begin(); }
  auto end() const { return routers_.end(); }

  /// Calls f(router, first sequence, count) for each run of sequences with one router. Throws
  /// `Error` that names the layer if a task has none.
  template <class F>
  void for_runs(const Sequences& sequences, std::span<const std::int32_t> tasks, F f) const {
    if (!per_task_) {
      f(routers_.front(), Index{0}, sequences.count());
    } else {
      gate::for_task_runs(tasks, count(), name_, [&](std::size_t task, Index first, Index last) {
        f(routers_[task], first, last - first);
      });
    }
  }

  /// What is in no parameter: the set that each router may choose.
  std::vector<std::uint64_t> state() const {
    std::vector<std::uint64_t> s;
    for (const Router& r : routers_) s.push_back(r.allowed);
    return s;
  }

  /// Restores what `state` gave at the end of a task; routers that are missing are made. Throws
  /// `Error` that names the layer if a set is none of its branches, or if there are several where
  /// one router serves all tasks.
  template <class Make>
  void restore(std::span<const std::uint64_t> s, Make make) {
    expect(per_task_ || s.size() == 1, "{}: expected one saved router, found {}", name_, s.size());
    for (std::size_t i = 0; i < s.size(); ++i) {
      expect_saved_branches(s[i], branches_, name_);
      if (i == routers_.size()) add(made(make(static_cast<Index>(i)), s[i]));
      routers_[i].allowed = s[i];
    }
    end_task();
  }

 private:
  static Router made(Parameter<T>& weight, BranchSet allowed) { return {&weight, allowed}; }
  static Router made(Router router, BranchSet allowed) {
    router.allowed = allowed;
    return router;
  }

  ParameterSet<B>* parameters_;
  std::string name_;
  bool per_task_;
  int branches_;
  std::vector<Router> routers_;
};

namespace gate {

/// Adds the sum of rows to the gradient of a parameter of one row.
template <Backend B>
void sum_rows(B& backend, MatrixView<const typename B::Scalar> rows,
              Parameter<typename B::Scalar>& p) {
  const auto sum = p.sink();
  backend.reduce_columns(
      rows.rows, rows.cols, [=] BRANCHLORA_BODY(Index r, Index c) { return rows(r, c); },
      sum.view.data, sum.add);
}

/// Calls f(router, first unit, count) for each run of the units `first .. first + count` of a batch
/// of V's gates that have one router; a unit is a token, or a sequence.
template <class V, Backend B, class Pass, class F>
void for_unit_runs(const Routers<B>& routers, const Pass& g, Index first, Index count, F f) {
  if constexpr (!V::per_task_router) {
    f(routers.of(0), first, count);
  } else {
    const auto unit = [&](Index s) {
      return V::Granularity::per_sequence ? s : g.sequences->offsets[static_cast<std::size_t>(s)];
    };
    routers.for_runs(*g.sequences, g.tasks, [&](const auto& router, Index s, Index n) {
      const Index from = std::max(unit(s), first);
      const Index to = std::min(unit(s + n), first + count);
      if (from < to) f(router, from, to - from);
    });
  }
}

}  // namespace gate
}  // namespace branchlora
