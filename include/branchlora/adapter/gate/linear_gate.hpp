/// @file
/// The gate that scores branches by a linear function of the layer's input.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
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

/// What a gate does with each token beside its own work: nothing.
struct NoMix {
  template <class Gates>
  BRANCHLORA_HD void operator()(const Gates& /*gates*/, Index /*token*/) const {}
};

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
  /// That gates of tokens can be made some tokens at a time, with `begin_open`, `open_rows` and
  /// `end_open`.
  static constexpr bool by_rows = per_token;
  /// Whether the way back through gates of tokens needs those of all tokens. If not, it can be gone
  /// some tokens at a time, with `begin_close`, `close_rows` and `sum_rows`.
  static constexpr bool late = ProbabilityBalance<typename V::Balance> ||
                               WeightBalance<typename V::Balance> || V::Supervision::enabled;
  /// With what makes the gates of a unit.
  struct BatchGates : Gates<T, top_k> {
    std::int32_t* unit_chosen = nullptr;  ///< Units x K.
    const T* bias = nullptr;              ///< Of each branch, where the gating has one.
  };
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
    expect(V::per_task_router || s.size() == 1, "{}: expected one saved router, found {}", name_,
           s.size());
    for (std::size_t i = 0; i < s.size(); ++i) {
      expect_saved_branches(s[i], static_cast<int>(capacity), name_);
      if (i < routers_.size()) {
        routers_[i].allowed = s[i];
      } else {
        add(s[i]);
      }
      if constexpr (V::per_task_router) parameters_->set_trainable(*routers_[i].weight, false);
    }
  }

  /// The gates of a batch.
  BatchGates open(Tape<B>& tape, Var<T> x, const Routing& routing) {
    static_assert(!fused);
    BatchGates g = begin_open(tape, x, routing, {});
    open_rows(tape.backend(), g, 0, x.rows());
    end_open(tape, g, routing);
    return g;
  }

  /// Begins to make the gates of a batch: those of sequences are made, of tokens there is the
  /// memory. `logits`, tokens x capacity, are given where router and trunk are fused.
  BatchGates begin_open(Tape<B>& tape, Var<T> x, const Routing& routing, MatrixView<T> logits) {
    BatchGates g;
    g.sequences = routing.sequences;
    g.tasks = routing.tasks;
    g.chosen = tape.template array<std::int32_t>(x.rows() * top_k);
    if (!per_token && routing.memory == Routing::Memory::reuse) {
      static_cast<Gates<T, top_k>&>(g) = memory_.recall(tape, x.rows(), capacity, name_, g);
      return g;
    }
    const Index units = per_token ? x.rows() : routing.sequences->count();
    g.inputs = per_token ? x.value() : tape.scratch(units, x.cols());
    if constexpr (V::labelled) label(tape, routing, g);
    g.logits = fused ? logits : tape.scratch(units, capacity);
    g.saved = tape.scratch(units, capacity);
    g.weights = tape.scratch(units, capacity);
    g.unit_chosen = per_token ? g.chosen : tape.template array<std::int32_t>(units * top_k);
    if constexpr (biased) g.bias = tape.upload(std::span<const T>(bias_));
    if constexpr (per_token) {
      for_runs(g, [](const Router&, Index, Index) {});  // Throws here, where one may.
    } else {
      g.unit_of = gate::units_of_tokens(tape, *routing.sequences);
      open_sequences(tape, x.value(), g);
    }
    return g;
  }

  /// Makes the gates of the tokens `first .. first + count`, if gates are of tokens; then calls
  /// `mix(gates, token)` for each. Where router and trunk are fused the logits must be there.
  template <class Mix = NoMix>
  void open_rows(B& backend, const BatchGates& g, Index first, Index count, Mix mix = {}) const {
    if constexpr (per_token) {
      const Weighing weighing{g, static_cast<T>(hyper_.temperature)};
      for_runs(g, first, count, [&](const Router& router, Index begin, Index n) {
        if (!fused && !silent(g)) {
          backend.skinny_dot(g.inputs.middle_rows(begin, n), router.weight->value, T(1),
                             g.logits.middle_rows(begin, n), false, Chosen{});
        }
        backend.for_each(n, [=, allowed = router.allowed] BRANCHLORA_BODY(Index i) {
          weighing(begin + i, allowed);
          mix(g, begin + i);
        });
      });
    }
  }

  /// Ends to make the gates of a batch, when all are there.
  void end_open(Tape<B>& tape, const BatchGates& g, const Routing& routing) {
    if (!per_token && routing.memory == Routing::Memory::reuse) return;
    if constexpr (BiasBalance<typename V::Balance>) {
      if (routing.supervise && tape.recording()) shift_bias(tape, g.weights);
    }
    if (!per_token && routing.memory == Routing::Memory::remember) {
      memory_.remember(tape.backend(), g.unit_chosen, g);
    }
  }

  /// From the gradient of every token's gates (its chosen entries) to that of the logits, units x
  /// capacity, and of the routers of tokens. `dlogits` is where to, if router and trunk are fused;
  /// the weight's gradient is then the caller's.
  MatrixView<T> close(Tape<B>& tape, const BatchGates& g, MatrixView<T> dgates,
                      MatrixView<T> dlogits) {
    auto& backend = tape.backend();
    dlogits = begin_close(tape, g, dlogits);
    const std::int32_t* unit_chosen = g.chosen;
    if constexpr (!per_token) {
      unit_chosen = close_sequences(tape, g, dgates, dlogits);
    } else {
      if constexpr (WeightBalance<typename V::Balance>) {
        if (g.labels != nullptr) {
          gate::add_weight_balance_gradient<typename V::Balance>(tape, g, hyper_, dgates);
        }
      }
      backend.for_each(dlogits.rows, [=] BRANCHLORA_BODY(Index t) {
        unweigh(g, t, g.chosen_of(t), dgates.row(t), dlogits.row(t));
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
    if constexpr (per_token) sum_rows(backend, g, dlogits, 0, dlogits.rows);
    return dlogits;
  }

  /// Begins the way back through gates of tokens: where the gradient of the logits is to go.
  MatrixView<T> begin_close(Tape<B>& tape, const BatchGates& g, MatrixView<T> dlogits) {
    if constexpr (fused) {
      routers_.front().weight->has_grad = true;
      return dlogits;
    } else {
      return tape.scratch(g.logits.rows, capacity);
    }
  }

  /// For the tokens `first .. first + count`, calls `unmix(gates, token)`, which may write its row
  /// of `dgates`, and goes from the gradient of the gates to that of the logits.
  template <class Unmix>
  void close_rows(B& backend, const BatchGates& g, Index first, Index count, MatrixView<T> dgates,
                  MatrixView<T> dlogits, Unmix unmix) const {
    static_assert(per_token && !late);
    backend.for_each(
        count, [=, temperature = static_cast<T>(hyper_.temperature)] BRANCHLORA_BODY(Index i) {
          const Index t = first + i;
          unmix(g, t);
          unweigh(g, t, g.chosen_of(t), dgates.row(t), dlogits.row(t));
          for (Index b = 0; b < capacity; ++b) dlogits(t, b) /= temperature;
        });
  }

  /// Adds what the tokens `first .. first + count` say of the gradients of routers of tokens, if
  /// those are not the caller's: to be called for all tokens, from the first on.
  void sum_rows(B& backend, const BatchGates& g, MatrixView<const T> dlogits, Index first,
                Index count) const {
    if constexpr (!fused) {
      for_runs(g, first, count, [&](const Router& router, Index begin, Index n) {
        if (!router.weight->trainable) return;
        const bool add = std::exchange(router.weight->has_grad, true);
        backend.skinny_outer(dlogits.middle_rows(begin, n), g.inputs.middle_rows(begin, n), T(1),
                             router.weight->grad, add, Chosen{});
      });
    }
  }

  /// The router of a batch, capacity x d_in, or nothing if its sequences have several.
  MatrixView<const T> only_router(const BatchGates& g) const {
    const Router* only = nullptr;
    bool several = false;
    for_runs(g, [&](const Router& router, Index, Index) {
      several = several || (only != nullptr && only != &router);
      only = &router;
    });
    return several || only == nullptr ? MatrixView<const T>() : only->weight->value;
  }

  /// From the gradient of the logits to x, where the router's product is not the trunk's too. That
  /// of a sequence's gate adds to a gradient that is there already, and goes to the routers too.
  void to_x(Tape<B>& tape, const BatchGates& g, Var<T> x, MatrixView<T> dlogits) {
    if (silent(g)) return;
    if constexpr (!per_token) {
      sequences_to_x(tape, g, x, dlogits);
    } else if (x.needs_grad()) {
      const auto dx = tape.gradient(x);
      for_runs(g, [&](const Router& router, Index first, Index count) {
        tape.backend().skinny_axpy(dlogits.middle_rows(first, count), router.weight->value, T(1),
                                   dx.view.middle_rows(first, count), dx.add, Chosen{});
      });
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
  /// The same for the units `first .. first + count` alone.
  template <class F>
  void for_runs(const BatchGates& g, Index first, Index count, F f) const {
    for_runs(g, [&](const Router& router, Index begin, Index n) {
      const Index from = std::max(begin, first);
      const Index to = std::min(begin + n, first + count);
      if (from < to || n == 0) f(router, from, std::max(to - from, Index{0}));
    });
  }

  // The functions that follow are public because nvcc takes no body from a private function.
 public:
  /// Makes the gate vector of a unit from its logits, which are divided by the temperature.
  struct Weighing {
    BatchGates g;
    T temperature;

    BRANCHLORA_HD void operator()(Index unit, BranchSet allowed) const {
      T* logits = g.logits.row(unit);
      T* weights = g.weights.row(unit);
      std::int32_t* chosen = g.unit_chosen + unit * top_k;
      for (Index b = 0; b < capacity; ++b) logits[b] /= temperature;
      if (g.task_known) {
        gate::only<capacity, top_k>(g.labels[unit], weights, chosen);
      } else if constexpr (biased) {
        V::Gating::template forward<capacity, top_k>(logits, g.bias, allowed, g.saved.row(unit),
                                                     weights, chosen);
      } else {
        V::Gating::template forward<capacity, top_k>(logits, allowed, g.saved.row(unit), weights,
                                                     chosen);
      }
    }
  };

  /// The way back of that, to logits that are divided already.
  BRANCHLORA_HD static void unweigh(const BatchGates& g, Index unit, const std::int32_t* chosen,
                                    const T* dweights, T* dlogits) {
    if (g.task_known) {
      for (Index b = 0; b < capacity; ++b) dlogits[b] = T(0);
    } else {
      V::Gating::template backward<capacity, top_k>(g.saved.row(unit), g.weights.row(unit), chosen,
                                                    dweights, dlogits);
    }
  }

  /// The router of a sequence.
  struct Scorer {
    const T* weight;
    BranchSet allowed;
  };

  /// The router of each sequence.
  const Scorer* scorers(Tape<B>& tape, const BatchGates& g) const {
    thread_local std::vector<Scorer> host;
    host.clear();
    for_runs(g, [&](const Router& router, Index, Index count) {
      host.insert(host.end(), static_cast<std::size_t>(count),
                  Scorer{router.weight->value.data, router.allowed});
    });
    return tape.upload(std::span<const Scorer>(host));
  }

  /// What the gates of sequences read and choose, a team a sequence.
  void open_sequences(Tape<B>& tape, MatrixView<const T> x, const BatchGates& g) const {
    const Index* offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
    const Scorer* routers = scorers(tape, g);
    const bool scored = !silent(g);
    const Weighing weighing{g, static_cast<T>(hyper_.temperature)};
    tape.backend().for_rows(g.logits.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
      const Index first = offsets[s];
      const Index length = offsets[s + 1] - first;
      T* input = g.inputs.row(s);
      gate::sequence_mean<typename V::Granularity>(team, x.middle_rows(first, length), input);
      for (Index b = 0; scored && b < capacity; ++b) {
        const T* row = routers[s].weight + b * x.cols;
        const T score = team.sum(x.cols, [=](Index c) { return input[c] * row[c]; });
        team.loop(1, [=](Index) { g.logits(s, b) = score; });
      }
      team.loop(1, [=](Index) { weighing(s, routers[s].allowed); });
      team.loop(length, [=](Index i) {
        for (Index k = 0; k < top_k; ++k) {
          g.chosen[(first + i) * top_k + k] = g.unit_chosen[s * top_k + k];
        }
      });
    });
  }

  /// From the gradient of the tokens' gates to that of their sequences' logits. Returns the choice
  /// of each sequence.
  static const std::int32_t* close_sequences(Tape<B>& tape, const BatchGates& g,
                                             MatrixView<T> dgates, MatrixView<T> dlogits) {
    const Index* offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
    const auto dweights = tape.scratch(dlogits.rows, capacity);
    auto* unit_chosen = tape.template array<std::int32_t>(dlogits.rows * top_k);
    tape.backend().for_rows(dlogits.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
      const Index first = offsets[s];
      const Index length = offsets[s + 1] - first;
      for (Index k = 0; k < top_k; ++k) {
        const std::int32_t b = g.chosen_of(first)[k];
        const T sum = team.sum(length, [=](Index i) { return dgates(first + i, b); });
        team.loop(1, [=](Index) {
          dweights(s, b) = sum;
          unit_chosen[s * top_k + k] = b;
        });
      }
      team.loop(1, [=](Index) {
        unweigh(g, s, unit_chosen + s * top_k, dweights.row(s), dlogits.row(s));
      });
    });
    return unit_chosen;
  }

  /// A router that trains.
  struct Target {
    const T* weight;
    T* grad;
    bool add;
  };

  /// From the gradient of the sequences' logits to their tokens and to the routers that train: a
  /// team for each sequence, and for each row of a router.
  void sequences_to_x(Tape<B>& tape, const BatchGates& g, Var<T> x, MatrixView<T> dlogits) const {
    thread_local std::vector<Target> host;
    host.clear();
    for_runs(g, [&](const Router& router, Index, Index) {
      Parameter<T>& w = *router.weight;
      const auto same = [&](const Target& t) { return t.weight == w.value.data; };
      if (!w.trainable || std::any_of(host.begin(), host.end(), same)) return;
      host.push_back({w.value.data, w.grad.data, std::exchange(w.has_grad, true)});
    });
    const Target* targets = tape.upload(std::span<const Target>(host));
    const Index* offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
    const Scorer* routers = scorers(tape, g);
    const Index units = dlogits.rows;
    MatrixView<T> dx;
    MatrixView<T> dinputs;
    if (x.needs_grad()) {
      const auto sink = tape.gradient(x);
      if (!sink.add) tape.backend().fill(sink.view, T(0));
      dx = sink.view;
      dinputs = tape.scratch(units, x.cols());
    }
    const Index to_x = dinputs.rows;
    tape.backend().for_rows(
        to_x + std::ssize(host) * capacity, [=] BRANCHLORA_BODY(auto team, Index i) {
          const Index width = g.inputs.cols;
          if (i < to_x) {
            T* from = dinputs.row(i);
            const T* slopes = dlogits.row(i);
            const T* weight = routers[i].weight;
            team.loop(width, [=](Index c) {
              T sum = 0;
              for (Index b = 0; b < capacity; ++b) sum += slopes[b] * weight[b * width + c];
              from[c] = sum;
            });
            gate::add_sequence_mean_gradient<typename V::Granularity>(
                team, from, dx.middle_rows(offsets[i], offsets[i + 1] - offsets[i]));
          } else {
            const Target target = targets[(i - to_x) / capacity];
            const Index b = (i - to_x) % capacity;
            T* to = target.grad + b * width;
            if (!target.add) team.loop(width, [=](Index c) { to[c] = T(0); });
            for (Index s = 0; s < units; ++s) {
              if (routers[s].weight != target.weight) continue;
              const T* input = g.inputs.row(s);
              const T slope = dlogits(s, b);
              team.loop(width, [=](Index c) { to[c] += slope * input[c]; });
            }
          }
        });
  }

  /// Whether the scores are of no use: the task is the choice, and the router does not train.
  bool silent(const BatchGates& g) const { return g.task_known && !stage_.router; }

  /// Divides a gradient by the temperature.
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

  /// Moves the biases by how often each branch has a weight.
  void shift_bias(Tape<B>& tape, MatrixView<const T> weights) {
    T* counts = tape.template array<T>(capacity);
    tape.backend().reduce_columns(
        weights.rows, capacity,
        [=] BRANCHLORA_BODY(Index i, Index b) { return weights(i, b) != T(0) ? T(1) : T(0); },
        counts, false);
    std::array<T, static_cast<std::size_t>(capacity)> host{};
    tape.backend().download(host.data(), counts, sizeof(host));
    const double mean =
        std::accumulate(host.begin(), host.end(), 0.0) / static_cast<double>(capacity);
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
        tape, unit_chosen, g.logits.rows, hyper_.balance_weight, g.weights);
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
