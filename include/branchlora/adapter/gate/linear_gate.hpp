/// @file
/// The gate that scores branches by a linear function of the layer's input.
#pragma once

#include <array>
#include <bit>
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
#include "branchlora/adapter/gate/label_losses.hpp"
#include "branchlora/adapter/gate/sequence_mean.hpp"
#include "branchlora/adapter/gate/task_runs.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/balance.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/gating.hpp"
#include "branchlora/adapter/policy/supervision.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The gate of `router::Linear`, and of `router::PerTask` around it: scores = R x / temperature,
/// with R of V::capacity x d_in, for a token, or for the first token or the mean of a sequence. One
/// R for all tasks, or one a task.
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
  static constexpr bool supervised = V::Supervision::enabled;
  static constexpr bool biased = BiasedGating<typename V::Gating>;

  /// A single router that is not fused is added here; one that is comes with `adopt`, those of
  /// tasks with `begin_task`.
  LinearGate(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper& hyper,
             const Random& random)
      : parameters_(&parameters),
        name_(name),
        d_in_(d_in),
        hyper_(hyper),
        random_(random),
        bias_(biased ? static_cast<std::size_t>(capacity) : 0) {
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

  /// Trains the router, or freezes it, as a stage has it.
  void begin_stage(const Stage& stage) {
    stage_ = stage;
    for (Router& r : routers_) parameters_->set_trainable(*r.weight, stage.router);
  }

  /// Freezes the router of the task that ends.
  void end_task() {
    if constexpr (V::per_task_router) {
      if (!routers_.empty()) parameters_->set_trainable(*routers_.back().weight, false);
    }
  }

  /// Whether a router trains.
  bool trains() const {
    for (const Router& r : routers_) {
      if (r.weight->trainable) return true;
    }
    return false;
  }
  /// How many routers there are.
  Index routers() const { return std::ssize(routers_); }
  /// The branches that the router of `task` (or the only one) may choose.
  BranchSet allowed(Index task = 0) const {
    return routers_[static_cast<std::size_t>(V::per_task_router ? task : 0)].allowed;
  }

  /// The bias of each branch, where the gating has one.
  const std::vector<T>& bias() const { return bias_; }

  /// What is in no parameter: the set that each router may choose, and the biases (the bits of a
  /// double each).
  std::vector<std::uint64_t> state() const {
    std::vector<std::uint64_t> s;
    for (const Router& r : routers_) s.push_back(r.allowed);
    for (const T b : bias_) s.push_back(std::bit_cast<std::uint64_t>(static_cast<double>(b)));
    return s;
  }
  /// Restores what `state` gave at the end of a task; missing routers are made.
  void restore(std::span<const std::uint64_t> s) {
    expect(s.size() >= bias_.size(), "{}: the saved state has {} numbers for {} biases", name_,
           s.size(), bias_.size());
    const auto bits = s.last(bias_.size());
    s = s.first(s.size() - bias_.size());
    for (std::size_t i = 0; i < bits.size(); ++i) {
      bias_[i] = static_cast<T>(std::bit_cast<double>(bits[i]));
    }
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
    if constexpr (V::labelled) label(tape, routing, g);
    const Index units = g.inputs.rows;
    g.logits = fused ? logits : tape.scratch(units, capacity);
    g.saved = tape.scratch(units, capacity);
    g.weights = tape.scratch(units, capacity);
    auto* unit_chosen = per_token ? g.chosen : tape.template array<std::int32_t>(units * top_k);
    const T* bias = biased ? tape.upload(std::span<const T>(bias_)) : nullptr;
    for_runs(g, [&](const Router& router, Index first, Index count) {
      const auto rows = g.logits.middle_rows(first, count);
      if (!fused && !silent(g)) {
        backend.skinny_dot(g.inputs.middle_rows(first, count), router.weight->value, T(1), rows,
                           false, Chosen{});
      }
      if (hyper_.temperature != 1.0 && !silent(g)) cool(backend, rows);
      const std::int32_t* known = g.task_known ? g.labels : nullptr;
      backend.for_each(count, [=, saved = g.saved, weights = g.weights,
                               allowed = router.allowed] BRANCHLORA_BODY(Index i) {
        T* w = weights.row(first + i);
        std::int32_t* chosen = unit_chosen + (first + i) * top_k;
        if (known != nullptr) {
          gate::only<capacity, top_k>(known[first + i], w, chosen);
        } else {
          weigh(rows.row(i), bias, allowed, saved.row(first + i), w, chosen);
        }
      });
    });
    if constexpr (BiasBalance<typename V::Balance>) {
      if (routing.supervise && tape.recording()) shift_bias(tape, units, unit_chosen);
    }
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
    if constexpr (WeightBalance<typename V::Balance>) {
      if (g.labels != nullptr) {
        gate::add_weight_balance_gradient<typename V::Balance>(tape, g, hyper_, dweights);
      }
    }
    if (g.task_known) {
      backend.fill(dlogits, T(0));
    } else {
      backend.for_each(units, [=] BRANCHLORA_BODY(Index i) {
        V::Gating::template backward<capacity, top_k>(g.saved.row(i), g.weights.row(i),
                                                      unit_chosen + i * top_k, dweights.row(i),
                                                      dlogits.row(i));
      });
    }
    if constexpr (ProbabilityBalance<typename V::Balance>) {
      if (!silent(g)) add_balance_gradient(tape, g, unit_chosen, dlogits);
    }
    if constexpr (supervised) {
      if (g.labels != nullptr && stage_.router) {
        gate::add_routing_gradient<capacity>(tape, g, routers_.front().allowed,
                                             hyper_.routing_weight, dlogits);
      }
    }
    if (hyper_.temperature != 1.0) cool(backend, dlogits);
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
    if (!x.needs_grad() || silent(g)) return;
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

  /// U(-1 / sqrt(d_in), 1 / sqrt(d_in)), what the initialisation says, or a copy of the router
  /// before.
  void start(Router& router) {
    if constexpr (requires { V::Init::draw_router(random_, std::uint64_t{0}, d_in_); }) {
      nn::fill(*parameters_, *router.weight, random_,
               [d_in = d_in_](const Random& r, std::size_t i) {
                 return V::Init::draw_router(r, i, d_in);
               });
    } else {
      nn::fill_uniform(*parameters_, *router.weight, random_,
                       1.0 / std::sqrt(static_cast<double>(d_in_)));
    }
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

  // The functions that follow are public because nvcc takes no body from a private function.
 public:
  /// One gate vector, under the biases if the gating has any.
  BRANCHLORA_HD static void weigh(const T* logits, [[maybe_unused]] const T* bias,
                                  BranchSet allowed, T* saved, T* weights, std::int32_t* chosen) {
    if constexpr (biased) {
      V::Gating::template forward<capacity, top_k>(logits, bias, allowed, saved, weights, chosen);
    } else {
      V::Gating::template forward<capacity, top_k>(logits, allowed, saved, weights, chosen);
    }
  }

  /// Whether the scores are of no use: the task is the choice, and the router does not train.
  bool silent(const BatchGates& g) const { return g.task_known && !stage_.router; }

  /// Divides by the temperature.
  void cool(B& backend, MatrixView<T> m) const {
    backend.for_each(
        m.rows, [=, temperature = static_cast<T>(hyper_.temperature)] BRANCHLORA_BODY(Index i) {
          for (Index c = 0; c < m.cols; ++c) m(i, c) /= temperature;
        });
  }

  /// The task of each unit, where the batch is one whose tasks are known. Throws `Error` if it has
  /// no branch to go to.
  void label(Tape<B>& tape, const Routing& routing, BatchGates& g) const {
    if (!routing.supervise) return;
    thread_local std::vector<std::int32_t> host;
    host.clear();
    for (std::size_t s = 0; s < g.tasks.size(); ++s) {
      const std::int32_t task = g.tasks[s];
      if constexpr (supervised) {
        expect(task >= 0 && task < capacity && gate::has(routers_.front().allowed, task),
               "{}: a sample of task {} has no branch to train: {} tasks were begun", name_, task,
               std::popcount(routers_.front().allowed));
      }
      const Index units = per_token ? g.sequences->offsets[s + 1] - g.sequences->offsets[s] : 1;
      host.insert(host.end(), static_cast<std::size_t>(units), task);
    }
    g.labels = tape.upload(std::span<const std::int32_t>(host));
    g.task_known = supervised && stage_.task_known;
  }

  /// Moves the biases by how often each branch was chosen.
  void shift_bias(Tape<B>& tape, Index units, const std::int32_t* unit_chosen) {
    T* counts = tape.template array<T>(capacity);
    tape.backend().reduce_columns(
        units, capacity,
        [=] BRANCHLORA_BODY(Index i, Index b) {
          for (Index k = 0; k < top_k; ++k) {
            if (unit_chosen[i * top_k + k] == b) return T(1);
          }
          return T(0);
        },
        counts, false);
    std::array<T, static_cast<std::size_t>(capacity)> host{};
    tape.backend().download(host.data(), counts, sizeof(host));
    const double mean = static_cast<double>(units * top_k) / static_cast<double>(capacity);
    for (std::size_t b = 0; b < bias_.size(); ++b) {
      bias_[b] +=
          static_cast<T>(hyper_.bias_rate * V::Balance::step(static_cast<double>(host[b]), mean));
    }
  }

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
  std::vector<T> bias_;
  Stage stage_ = V::Supervision::stages.front();
  gate::Memory<B, top_k> memory_;
};

}  // namespace branchlora
