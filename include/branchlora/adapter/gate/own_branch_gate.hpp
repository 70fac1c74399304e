/// @file
/// The gate that gives each sequence the branch of its task.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/scoreless_gate.hpp"
#include "branchlora/adapter/gate/task_runs.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"

namespace branchlora {

/// The gate of `router::OwnBranch`: weight 1 for branch t of a sequence of task t.
template <Backend B, class V>
class OwnBranchGate : public ScorelessGate<B, V> {
 public:
  using Base = ScorelessGate<B, V>;
  using Base::Base;
  using typename Base::Pass;
  using typename Base::T;

  void begin_task(Index task, BranchSet /*allowed*/) { tasks_ = task + 1; }
  /// The tasks that have begun: each has its choice.
  Index routers() const { return tasks_; }
  BranchSet allowed(Index task) const { return BranchSet{1} << task; }
  /// How many tasks have begun.
  std::vector<std::uint64_t> state() const { return {static_cast<std::uint64_t>(tasks_)}; }
  void restore(std::span<const std::uint64_t> state) {
    expect(state.size() == 1 && state[0] <= static_cast<std::uint64_t>(V::capacity),
           "{}: expected the saved number of tasks, at most {}, found {}", name_, V::capacity,
           state.size() == 1 ? state[0] : state.size());
    tasks_ = static_cast<Index>(state[0]);
  }

  /// Throws `Error` if a task has not begun.
  Pass open(Tape<B>& tape, Var<T> x, const RoutingContext& context, MatrixView<T> /*below*/) const {
    Pass g;
    g.sequences = context.sequences;
    g.tasks = context.tasks;
    thread_local std::vector<std::int32_t> own;
    own.clear();
    gate::for_task_runs(g.tasks, tasks_, name_, [&](std::size_t task, Index, Index last) {
      own.resize(static_cast<std::size_t>(g.sequences->offsets[static_cast<std::size_t>(last)]),
                 static_cast<std::int32_t>(task));
    });
    g.chosen = tape.upload(std::span<const std::int32_t>(own));
    g.weights = tape.scratch(x.rows(), V::capacity);
    return g;
  }

  /// Writes the gates of each token and calls `mix(gates, token)`.
  template <class Mix = gate::NoMix>
  void forward(Plan<B>& plan, Tape<B>& /*tape*/, Var<T> /*x*/, const Pass& g,
               const Mix& mix = gate::no_mix) const {
    plan.rowwise({}, [&g, &mix](B& backend, Index first, Index count) {
      gate::for_tokens(backend, g, first, count, Weigh<Mix>{mix});
    });
  }

  // Public since nvcc takes bodies from public functions only.

  template <class Mix>
  struct Weigh {
    Mix mix;

    BRANCHLORA_HD void operator()(const Pass& g, Index token) const {
      for (Index b = 0; b < V::capacity; ++b) {
        g.weights(token, b) = b == Index{g.chosen[token]} ? T(1) : T(0);
      }
      mix(g, token);
    }
  };

 protected:
  using Base::name_;

 private:
  Index tasks_ = 0;
};

}  // namespace branchlora
