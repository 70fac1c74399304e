/// @file
/// The gate that weighs the branches of several tasks as a selector says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/own_branch_gate.hpp"

namespace branchlora {

/// The gate of `router::OwnBranch` where a selector mixes tasks: in a sequence, branch t has the
/// weight of task t in `RoutingContext::task_weights`. Of more than TopK tasks those that weigh
/// most are chosen, ties to the earlier, and their weights are divided by their sum. Without
/// weights, as in training, all of it is that of the sequence's task.
template <Backend B, class V>
class WeighedBranchesGate : public OwnBranchGate<B, V> {
 public:
  using Base = OwnBranchGate<B, V>;
  using Base::Base;
  using typename Base::Pass;
  using typename Base::T;

  /// Throws `Error` if a task has not begun, or if weights are not a row for each sequence.
  Pass open(Tape<B>& tape, Var<T> x, const RoutingContext& context, MatrixView<T> /*below*/) const {
    Pass g;
    g.sequences = context.sequences;
    g.tasks = context.tasks;
    const Index count = g.sequences->count();
    thread_local std::vector<T> weights;
    thread_local std::vector<std::int32_t> chosen;
    weights.assign(static_cast<std::size_t>(count * V::capacity), T(0));
    chosen.resize(static_cast<std::size_t>(count * V::top_k));
    if (context.task_weights.empty()) {
      gate::for_task_runs(g.tasks, Base::routers(), name_, [&](std::size_t task, Index s, Index n) {
        for (; s < n; ++s) weights[static_cast<std::size_t>(s * V::capacity) + task] = 1;
      });
    } else {
      copy_weights(context.task_weights, count, weights);
    }
    for (Index s = 0; s < count; ++s) {
      choose(weights.data() + s * V::capacity, chosen.data() + s * V::top_k);
    }
    g.weights = {tape.upload(std::span<const T>(weights)), count, V::capacity};
    g.unit_chosen = tape.upload(std::span<const std::int32_t>(chosen));
    g.unit_of = gate::units_of_tokens(tape, *g.sequences);
    g.chosen = tape.template array<std::int32_t>(x.rows() * V::top_k);
    return g;
  }

  /// Writes what each token has chosen and calls `mix(gates, token)`.
  template <class Mix = gate::NoMix>
  void forward(Plan<B>& plan, Tape<B>& /*tape*/, Var<T> /*x*/, const Pass& g,
               const Mix& mix = gate::no_mix) const {
    plan.rowwise({}, [&g, &mix](B& backend, Index first, Index count) {
      gate::for_tokens(backend, g, first, count, Spread<Mix>{mix});
    });
  }

  // Public since nvcc takes bodies from public functions only.

  template <class Mix>
  struct Spread {
    Mix mix;

    BRANCHLORA_HD void operator()(const Pass& g, Index token) const {
      const std::int32_t* own = g.unit_chosen + g.unit(token) * V::top_k;
      for (Index k = 0; k < V::top_k; ++k) g.chosen[token * V::top_k + k] = own[k];
      mix(g, token);
    }
  };

 private:
  using Base::name_;

  /// Weights of tasks, a row a sequence, as weights of branches.
  void copy_weights(std::span<const double> from, Index count, std::vector<T>& to) const {
    const auto tasks = static_cast<Index>(from.size()) / std::max<Index>(1, count);
    expect(std::ssize(from) == tasks * count && tasks <= Base::routers(),
           "{}: expected weights of at most {} tasks for each of {} sequences, found {} numbers",
           name_, Base::routers(), count, from.size());
    for (Index s = 0; s < count; ++s) {
      for (Index t = 0; t < tasks; ++t) {
        to[static_cast<std::size_t>(s * V::capacity + t)] =
            static_cast<T>(from[static_cast<std::size_t>(s * tasks + t)]);
      }
    }
  }

  /// Chooses the branches of a sequence, and lets its weights be those of the chosen alone.
  static void choose(T* weights, std::int32_t* chosen) {
    std::int32_t order[V::capacity];
    std::iota(order, order + V::capacity, 0);
    if constexpr (!V::dense) {
      std::sort(order, order + V::capacity, [weights](std::int32_t a, std::int32_t b) {
        return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
      });
      T sum = 0;
      for (Index k = 0; k < V::top_k; ++k) sum += weights[order[k]];
      for (Index k = 0; k < V::capacity; ++k) {
        weights[order[k]] = k < V::top_k ? weights[order[k]] / sum : T(0);
      }
    }
    std::copy(order, order + V::top_k, chosen);
  }
};

}  // namespace branchlora
