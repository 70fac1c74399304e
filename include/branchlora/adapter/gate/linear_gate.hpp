/// @file
/// The gate that scores branches by a linear function of the layer's input.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "branchlora/adapter/gate.hpp"
#include "branchlora/adapter/gate/balance_slopes.hpp"
#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/adapter/gate/sequence_mean.hpp"
#include "branchlora/adapter/gate/task_runs.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The gate of `router::Linear`, and of `router::PerTask` around it: logits = R x, with R of
/// V::capacity x d_in, for a token, or for the first token or the mean of a sequence. One R for all
/// tasks, or one a task.
template <Backend B, class V>
class LinearGate {
 public:
  using T = typename B::Scalar;
  static constexpr Index capacity = V::capacity;
  static constexpr Index top_k = V::top_k;
  static constexpr bool per_token = !V::Granularity::per_sequence;
  /// Whether router and trunk are one matrix, so that one product serves both.
  static constexpr bool fused = per_token && !V::per_task_router && (V::Trunk::shared || V::dense);
  using BatchGates = Gates<T, top_k>;

  /// A single router that is not fused is added here; one that is comes with `adopt`, those of
  /// tasks with `begin_task`.
  LinearGate(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper& hyper,
             const Random& random)
      : parameters_(&parameters), name_(name), d_in_(d_in), hyper_(hyper), random_(random) {
    if constexpr (!fused && !V::per_task_router) {
      adopt(parameters.add(name + ".router", capacity, d_in));
    }
  }

  /// Takes `weight`, capacity x d_in, as the single router, and starts it.
  void adopt(Parameter<T>& weight) {
    routers_.push_back({&weight, first_branches(V::branches)});
    start(routers_.back());
  }

  /// Lets the router of `task` (a new one, where routers are per task) choose among `allowed`.
  void begin_task(Index task, BranchSet allowed) {
    if constexpr (V::per_task_router) {
      expect(task == routers(), "{}: expected task {} to begin, found {}", name_, routers(), task);
      add(allowed);
    } else {
      routers_.front().allowed = allowed;
    }
  }

  /// Freezes the router of the task that ends.
  void end_task() {
    if constexpr (V::per_task_router) {
      if (!routers_.empty()) parameters_->set_trainable(*routers_.back().weight, false);
    }
  }

  /// How many routers there are.
  Index routers() const { return std::ssize(routers_); }
  /// The branches that the router of `task` (or the only one) may choose.
  BranchSet allowed(Index task = 0) const {
    return routers_[static_cast<std::size_t>(V::per_task_router ? task : 0)].allowed;
  }

  /// What is in no parameter: the set that each router may choose.
  std::vector<std::uint64_t> state() const {
    std::vector<std::uint64_t> s;
    for (const Router& r : routers_) s.push_back(r.allowed);
    return s;
  }
  /// Restores what `state` gave at the end of a task; missing routers are made.
  void restore(std::span<const std::uint64_t> s) {
    for (std::size_t i = 0; i < s.size(); ++i) {
      if (i < routers_.size()) {
        routers_[i].allowed = s[i];
      } else {
        add(s[i]);
      }
      if constexpr (V::per_task_router) parameters_->set_trainable(*routers_[i].weight, false);
    }
  }

  /// The gates of a batch. `logits`, tokens x capacity, are given where router and trunk are fused.
  BatchGates open(Tape<B>& tape, Var<T> x, const Routing& routing, MatrixView<T> logits) {
    auto& backend = tape.backend();
    BatchGates g;
    g.sequences = routing.sequences;
    g.tasks = routing.tasks;
    g.chosen = tape.template array<std::int32_t>(x.rows() * top_k);
    if constexpr (per_token) {
      g.inputs = x.value();
    } else {
      if (routing.memory == Routing::Memory::reuse) {
        return memory_.recall(tape, x.rows(), capacity, name_, g);
      }
      g.unit_of = gate::units_of_tokens(tape, *routing.sequences);
      g.inputs = gate::sequence_means<typename V::Granularity>(tape, *routing.sequences, x.value());
    }
    const Index units = g.inputs.rows;
    g.logits = fused ? logits : tape.scratch(units, capacity);
    g.saved = tape.scratch(units, capacity);
    g.weights = tape.scratch(units, capacity);
    auto* unit_chosen = per_token ? g.chosen : tape.template array<std::int32_t>(units * top_k);
    for_runs(g, [&](const Router& router, Index first, Index count) {
      const auto rows = g.logits.middle_rows(first, count);
      if constexpr (!fused) {
        backend.skinny_dot(g.inputs.middle_rows(first, count), router.weight->value, T(1), rows,
                           false, Chosen{});
      }
      backend.for_each(count, [=, saved = g.saved, weights = g.weights,
                               allowed = router.allowed] BRANCHLORA_BODY(Index i) {
        V::Gating::template forward<capacity, top_k>(rows.row(i), allowed, saved.row(first + i),
                                                     weights.row(first + i),
                                                     unit_chosen + (first + i) * top_k);
      });
    });
    if constexpr (!per_token) {
      gate::spread(backend, x.rows(), unit_chosen, g);
      if (routing.memory == Routing::Memory::remember) memory_.remember(backend, unit_chosen, g);
    }
    return g;
  }

  /// From the gradient of every token's gates (its chosen entries) to that of the logits, units x
  /// capacity, and of the routers. `dlogits` is where to, if router and trunk are fused; the
  /// weight's gradient is then the caller's.
  MatrixView<T> close(Tape<B>& tape, const BatchGates& g, MatrixView<T> dgates,
                      MatrixView<T> dlogits) {
    auto& backend = tape.backend();
    const Index units = g.logits.rows;
    MatrixView<T> dweights = dgates;
    std::int32_t* unit_chosen = g.chosen;
    if constexpr (!per_token) std::tie(dweights, unit_chosen) = gate::gather(tape, g, dgates);
    if constexpr (!fused) dlogits = tape.scratch(units, capacity);
    backend.for_each(units, [=] BRANCHLORA_BODY(Index i) {
      V::Gating::template backward<capacity, top_k>(g.saved.row(i), g.weights.row(i),
                                                    unit_chosen + i * top_k, dweights.row(i),
                                                    dlogits.row(i));
    });
    if constexpr (V::Balance::enabled) add_balance_gradient(tape, g, unit_chosen, dlogits);
    if constexpr (fused) {
      routers_.front().weight->has_grad = true;
    } else {
      for_runs(g, [&](const Router& router, Index first, Index count) {
        if (!router.weight->trainable) return;
        const bool add = std::exchange(router.weight->has_grad, true);
        backend.skinny_outer(dlogits.middle_rows(first, count), g.inputs.middle_rows(first, count),
                             T(1), router.weight->grad, add, Chosen{});
      });
    }
    return dlogits;
  }

  /// From the gradient of the logits to x, where the router's product is not the trunk's too. That
  /// of a sequence's gate adds to a gradient that is there already.
  void to_x(Tape<B>& tape, const BatchGates& g, Var<T> x, MatrixView<T> dlogits) {
    if (!x.needs_grad()) return;
    const auto product = [&](MatrixView<T> to, bool add) {
      for_runs(g, [&](const Router& router, Index first, Index count) {
        tape.backend().skinny_axpy(dlogits.middle_rows(first, count), router.weight->value, T(1),
                                   to.middle_rows(first, count), add, Chosen{});
      });
    };
    if constexpr (per_token) {
      const auto dx = tape.gradient(x);
      product(dx.view, dx.add);
    } else {
      const auto dinputs = tape.scratch(dlogits.rows, x.cols());
      product(dinputs, false);
      gate::sequence_means_backward<typename V::Granularity>(tape, *g.sequences, x, dinputs);
    }
  }

 private:
  struct Router {
    Parameter<T>* weight;
    BranchSet allowed;
  };

  void add(BranchSet allowed) {
    routers_.push_back(
        {&parameters_->add(name_ + ".router." + std::to_string(routers_.size()), capacity, d_in_),
         allowed});
    start(routers_.back());
  }

  /// U(-1 / sqrt(d_in), 1 / sqrt(d_in)), or a copy of the router before.
  void start(Router& router) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(d_in_));
    nn::fill_uniform(*parameters_, *router.weight, random_, bound);
    if (V::RouterStart::copies && routers_.size() > 1) {
      parameters_->backend().copy(routers_[routers_.size() - 2].weight->value,
                                  router.weight->value);
    }
    parameters_->set_trainable(*router.weight, true);
  }

  /// Calls f(router, first unit, count) for each run of units with one router.
  template <class F>
  void for_runs(const BatchGates& g, F f) const {
    if constexpr (!V::per_task_router) {
      f(routers_.front(), Index{0}, g.logits.rows);
    } else {
      gate::for_task_runs(g.tasks, routers(), name_, [&](std::size_t task, Index begin, Index end) {
        const auto unit = [&](Index s) {
          return per_token ? g.sequences->offsets[static_cast<std::size_t>(s)] : s;
        };
        f(routers_[task], unit(begin), unit(end) - unit(begin));
      });
    }
  }

  // Public because nvcc takes no body from a private function.
 public:
  /// The gradient of balance_weight * sum_i slope(f_i) P_i, where P is the mean of the softmax over
  /// the allowed branches and f the share of the choices, which counts as given.
  void add_balance_gradient(Tape<B>& tape, const BatchGates& g, const std::int32_t* unit_chosen,
                            MatrixView<T> dlogits) {
    auto& backend = tape.backend();
    const T* slopes = gate::balance_slopes<typename V::Balance, capacity, top_k>(
        tape, unit_chosen, g.logits.rows, hyper_.balance_weight);
    for_runs(g, [&](const Router& router, Index first, Index count) {
      backend.for_each(count, [=, allowed = router.allowed] BRANCHLORA_BODY(Index i) {
        T p[capacity];
        gate::softmax<capacity>(g.logits.row(first + i), allowed, p);
        T dot = 0;
        for (Index b = 0; b < capacity; ++b) dot += p[b] * slopes[b];
        T* d = dlogits.row(first + i);
        for (Index b = 0; b < capacity; ++b) d[b] += p[b] * (slopes[b] - dot);
      });
    });
  }

 private:
  ParameterSet<B>* parameters_;
  std::string name_;
  Index d_in_;
  Hyper hyper_;
  Random random_;
  std::vector<Router> routers_;
  gate::Memory<B, top_k> memory_;
};

}  // namespace branchlora
