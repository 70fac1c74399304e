/// @file
/// The gate that scores branches by the task, whatever the input.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/adapter/gate.hpp"
#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/adapter/gate/task_runs.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/task_router.hpp"
#include "branchlora/core/to_host.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The gate of routers that know the task alone, with one gate vector a sequence:
///
///     logits = e_t / temperature, or (W e_t + b) / temperature
///
/// e_t is `<layer>.router.<t>`, 1 x width, and comes with `begin_task`; W is
/// `<layer>.router.shared`, capacity x width, and b `<layer>.router.shared.bias`. Several tasks may
/// begin before one ends: all of them train then, in mixed batches.
///
/// Of a router of the whole model, <layer> is the linear whose gate was made first; those of the
/// others find these parameters in the model's set, and all add to their gradients. Nothing else
/// passes between linears, since every one makes the same gates of them.
template <Backend B, class V>
class TaskGate {
 public:
  using T = typename B::Scalar;
  using Router = typename V::Router;
  static_assert(TaskRouter<Router>);
  static constexpr Index capacity = V::capacity;
  static constexpr Index top_k = V::top_k;
  static constexpr bool fused = false;
  /// The temperature of the contrastive loss.
  static constexpr double contrast_temperature = 0.05;

  /// With what the contrastive loss needs on the way back: for each sequence s and task k.
  struct BatchGates : Gates<T, top_k> {
    MatrixView<const T> x;                 ///< The layer's input; h_s is the first row of s.
    MatrixView<T> cosines;                 ///< cos(h_s, e_k).
    MatrixView<T> h_norms, e_norms;        ///< |h_s| and |e_k|.
    MatrixView<T> pull;                    ///< The loss' derivative by the cosine.
    const T* const* embeddings = nullptr;  ///< Of each task.
    const Index* offsets = nullptr;        ///< Of the sequences; null: no such loss.
  };

  TaskGate(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper& hyper,
           const Random& random)
      : parameters_(&parameters),
        name_(name),
        owner_(owner(parameters, name)),
        width_(Router::width(static_cast<int>(capacity), d_in)),
        hyper_(hyper),
        random_(random) {
    if constexpr (Router::mapped) {
      map_ = parameters.find(owner_ + ".router.shared");
      bias_ = parameters.find(owner_ + ".router.shared.bias");
      if (map_ != nullptr) return;
      const double bound = 1.0 / std::sqrt(static_cast<double>(width_));
      map_ = &parameters.add(name + ".router.shared", capacity, width_);
      nn::fill_uniform(parameters, *map_, random, Router::gain * bound);
      parameters.set_trainable(*map_, !Router::drawn);
      map_->constant = Router::drawn;
      if constexpr (Router::bias) {
        bias_ = &parameters.add(name + ".router.shared.bias", 1, capacity);
        nn::fill_uniform(parameters, *bias_, random, bound);
        parameters.set_trainable(*bias_, !Router::drawn);
        bias_->constant = Router::drawn;
      }
    }
  }

  /// Adds e_t of the next task, to be trained, which may choose among `allowed`.
  void begin_task(Index task, BranchSet allowed) {
    expect(task == routers(), "{}: expected task {} to begin, found {}", name_, routers(), task);
    add(allowed);
    if constexpr (Router::drawn) {
      Tape<B> tape(parameters_->backend());
      const auto scores =
          to_host(parameters_->backend(), logits(tape, tasks_.back().embedding->value));
      std::int32_t best = 0;
      tasks_.back().allowed = gate::top_k<capacity, 1>(scores.data(), allowed, &best);
    }
  }

  /// Freezes what is of tasks alone.
  void end_task() {
    for (Task& task : tasks_) parameters_->set_trainable(*task.embedding, false);
  }

  /// Whether any of its parameters trains.
  bool trains() const {
    if (map_ != nullptr && map_->trainable) return true;
    for (const Task& task : tasks_) {
      if (task.embedding->trainable) return true;
    }
    return bias_ != nullptr && bias_->trainable;
  }
  /// How many tasks have begun.
  Index routers() const { return std::ssize(tasks_); }
  /// The branches that `task` may choose.
  BranchSet allowed(Index task = 0) const { return tasks_[static_cast<std::size_t>(task)].allowed; }

  /// What is in no parameter: the set that each task may choose.
  std::vector<std::uint64_t> state() const {
    std::vector<std::uint64_t> s;
    for (const Task& task : tasks_) s.push_back(task.allowed);
    return s;
  }
  /// Restores what `state` gave at the end of a task; missing tasks are made.
  void restore(std::span<const std::uint64_t> s) {
    for (std::size_t i = 0; i < s.size(); ++i) {
      expect_saved_branches(s[i], static_cast<int>(capacity), name_);
      if (i == tasks_.size()) add(s[i]);
      tasks_[i].allowed = s[i];
    }
    end_task();
  }

  /// The gates of a batch. Its tasks say all, so nothing is kept for decoding.
  BatchGates open(Tape<B>& tape, Var<T> x, const Routing& routing) const {
    auto& backend = tape.backend();
    BatchGates g;
    g.sequences = routing.sequences;
    g.tasks = routing.tasks;
    g.unit_of = gate::units_of_tokens(tape, *routing.sequences);
    const Index units = routing.sequences->count();
    g.inputs = tape.scratch(units, width_);
    for_tasks(g, [&](const Task& task, Index first, Index count) {
      for (Index s = first; s < first + count; ++s) {
        backend.copy(task.embedding->value, g.inputs.middle_rows(s, 1));
      }
    });
    g.logits = logits(tape, g.inputs);
    g.saved = tape.scratch(units, capacity);
    g.weights = tape.scratch(units, capacity);
    g.chosen = tape.template array<std::int32_t>(x.rows() * top_k);
    auto* unit_chosen = tape.template array<std::int32_t>(units * top_k);
    for_tasks(g, [&](const Task& task, Index first, Index count) {
      backend.for_each(
          count, [=, g = Gates<T, top_k>(g), allowed = task.allowed] BRANCHLORA_BODY(Index i) {
            const Index s = first + i;
            V::Gating::template forward<capacity, top_k>(g.logits.row(s), allowed, g.saved.row(s),
                                                         g.weights.row(s), unit_chosen + s * top_k);
          });
    });
    gate::spread(backend, x.rows(), unit_chosen, g);
    if constexpr (Router::contrastive) {
      if (routing.supervise && tape.recording()) contrast(tape, x, g);
    }
    return g;
  }

  /// From the gradient of every token's gates to that of the logits and of what trains here.
  MatrixView<T> close(Tape<B>& tape, const BatchGates& g, MatrixView<T> dgates,
                      MatrixView<T> /*dlogits*/) const {
    auto& backend = tape.backend();
    const Index units = g.logits.rows;
    const auto gathered = gate::gather(tape, g, dgates);
    const auto dlogits = tape.scratch(units, capacity);
    backend.for_each(
        units, [=, g = Gates<T, top_k>(g), dweights = gathered.first, unit_chosen = gathered.second,
                cold = temperature()] BRANCHLORA_BODY(Index i) {
          T* d = dlogits.row(i);
          V::Gating::template backward<capacity, top_k>(
              g.saved.row(i), g.weights.row(i), unit_chosen + i * top_k, dweights.row(i), d);
          for (Index b = 0; b < capacity; ++b) d[b] /= cold;
        });
    auto dinputs = dlogits;
    if constexpr (Router::mapped) {
      dinputs = tape.scratch(units, width_);
      backend.skinny_axpy(dlogits, map_->value, T(1), dinputs, false, Chosen{});
      if (map_->trainable) {
        const bool add = std::exchange(map_->has_grad, true);
        backend.skinny_outer(dlogits, g.inputs, T(1), map_->grad, add, Chosen{});
      }
      if (Router::bias && bias_->trainable) sum_rows(backend, dlogits, *bias_);
    }
    for_tasks(g, [&](const Task& task, Index first, Index count) {
      if (!task.embedding->trainable) return;
      sum_rows(backend, dinputs.middle_rows(first, count), *task.embedding);
    });
    if constexpr (Router::contrastive) {
      if (g.offsets != nullptr) contrast_to_embeddings(tape, g);
    }
    return dlogits;
  }

  /// The scores do not depend on x; the contrastive loss does, by first tokens.
  void to_x(Tape<B>& tape, const BatchGates& g, Var<T> x, MatrixView<T> /*dlogits*/) const {
    if (g.offsets == nullptr || !x.needs_grad()) return;
    const auto dx = tape.gradient(x).view;
    tape.backend().for_rows(
        g.pull.rows,
        [=, x = x.value(), scale = tape.loss_scale()] BRANCHLORA_BODY(auto team, Index s) {
          const T* h = x.row(g.offsets[s]);
          T* to = dx.row(g.offsets[s]);
          team.loop(x.cols, [=](Index c) {
            T sum = 0;
            for (Index k = 0; k < g.pull.cols; ++k) {
              sum += g.pull(s, k) * (g.embeddings[k][c] / g.e_norms(s, k) -
                                     g.cosines(s, k) * h[c] / g.h_norms(s, k));
            }
            to[c] += scale * sum / g.h_norms(s, 0);
          });
        });
  }

  // Public since nvcc takes bodies from public functions only.

  /// The scores of rows of embeddings.
  MatrixView<T> logits(Tape<B>& tape, MatrixView<T> inputs) const {
    auto& backend = tape.backend();
    const auto scores = tape.scratch(inputs.rows, capacity);
    if constexpr (Router::mapped) {
      backend.skinny_dot(inputs, map_->value, T(1), scores, false, Chosen{});
    } else {
      backend.copy(inputs, scores);
    }
    const T* bias = bias_ == nullptr ? nullptr : bias_->value.data;
    backend.for_each(scores.size(), [=, cold = temperature()] BRANCHLORA_BODY(Index i) {
      T& score = scores.data[i];
      score = (bias == nullptr ? score : score + bias[i % capacity]) / cold;
    });
    return scores;
  }

  /// Computes the contrastive loss' derivative by each cosine.
  void contrast(Tape<B>& tape, Var<T> x, BatchGates& g) const {
    auto& backend = tape.backend();
    const Index units = g.logits.rows;
    const Index count = routers();
    thread_local std::vector<const T*> embeddings;
    embeddings.clear();
    for (const Task& task : tasks_) embeddings.push_back(task.embedding->value.data);
    g.embeddings = tape.upload(std::span<const T* const>(embeddings));
    g.offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
    const std::int32_t* tasks = tape.upload(g.tasks);
    for (MatrixView<T>* m : {&g.cosines, &g.h_norms, &g.e_norms, &g.pull}) {
      *m = tape.scratch(units, count);
    }
    g.x = x.value();
    backend.for_rows(units * count, [=, x = x.value()] BRANCHLORA_BODY(auto team, Index i) {
      const Index s = i / count;
      const Index k = i % count;
      const T* h = x.row(g.offsets[s]);
      const T* e = g.embeddings[k];
      const T hh = team.sum(x.cols, [=](Index c) { return h[c] * h[c]; });
      const T ee = team.sum(x.cols, [=](Index c) { return e[c] * e[c]; });
      const T he = team.sum(x.cols, [=](Index c) { return h[c] * e[c]; });
      g.h_norms(s, k) = std::sqrt(hh);
      g.e_norms(s, k) = std::sqrt(ee);
      g.cosines(s, k) = he / (std::sqrt(hh) * std::sqrt(ee));
    });
    const T cold = static_cast<T>(contrast_temperature);
    const T weight =
        static_cast<T>(hyper_.contrast_weight / contrast_temperature) / static_cast<T>(units);
    backend.for_each(units, [=] BRANCHLORA_BODY(Index s) {
      T highest = g.cosines(s, 0);
      for (Index k = 1; k < count; ++k) {
        highest = g.cosines(s, k) > highest ? g.cosines(s, k) : highest;
      }
      T sum = 0;
      for (Index k = 0; k < count; ++k) {
        g.pull(s, k) = math::exp((g.cosines(s, k) - highest) / cold);
        sum += g.pull(s, k);
      }
      for (Index k = 0; k < count; ++k) {
        g.pull(s, k) = weight * (g.pull(s, k) / sum - (tasks[s] == k ? T(1) : T(0)));
      }
    });
  }

  /// The contrastive loss' gradient by the embeddings that train.
  void contrast_to_embeddings(Tape<B>& tape, const BatchGates& g) const {
    for (Index k = 0; k < routers(); ++k) {
      Parameter<T>& e = *tasks_[static_cast<std::size_t>(k)].embedding;
      if (!e.trainable) continue;
      const bool add = std::exchange(e.has_grad, true);
      tape.backend().reduce_columns(
          g.pull.rows, e.value.cols,
          [=, scale = tape.loss_scale()] BRANCHLORA_BODY(Index s, Index c) {
            const T h = g.x(g.offsets[s], c) / g.h_norms(s, k);
            const T unit = g.embeddings[k][c] / g.e_norms(s, k);
            return scale * g.pull(s, k) * (h - g.cosines(s, k) * unit) / g.e_norms(s, k);
          },
          e.grad.data, add);
    }
  }

  /// Adds the sum of rows to the gradient of a parameter of one row.
  static void sum_rows(B& backend, MatrixView<const T> rows, Parameter<T>& p) {
    const bool add = std::exchange(p.has_grad, true);
    backend.reduce_columns(
        rows.rows, rows.cols, [=] BRANCHLORA_BODY(Index r, Index c) { return rows(r, c); },
        p.grad.data, add);
  }

 private:
  struct Task {
    Parameter<T>* embedding;
    BranchSet allowed;
  };

  T temperature() const { return static_cast<T>(hyper_.temperature); }

  /// The name of the linear whose router this one's is: its own, or the first of the model.
  static std::string owner([[maybe_unused]] const ParameterSet<B>& parameters,
                           const std::string& name) {
    if constexpr (Router::per_model) {
      constexpr std::string_view shared = ".router.shared";
      for (const Parameter<T>& p : parameters) {
        if (p.name.ends_with(shared)) return p.name.substr(0, p.name.size() - shared.size());
      }
    }
    return name;
  }

  void add(BranchSet allowed) {
    const std::string name = owner_ + ".router." + std::to_string(tasks_.size());
    if (Parameter<T>* found = parameters_->find(name)) {
      tasks_.push_back({found, allowed});
      return;
    }
    auto& e = parameters_->add(name, 1, width_);
    nn::fill(*parameters_, e, random_, [](const Random& random, std::size_t i) {
      return Router::start(random, i, static_cast<int>(capacity));
    });
    if (V::RouterStart::copies && !tasks_.empty()) {
      parameters_->backend().copy(tasks_.back().embedding->value, e.value);
    }
    parameters_->set_trainable(e, true);
    tasks_.push_back({&e, allowed});
  }

  /// Calls f(task, first unit, count) for each run of units of one task.
  template <class F>
  void for_tasks(const BatchGates& g, F f) const {
    gate::for_task_runs(g.tasks, routers(), name_, [&](std::size_t task, Index first, Index last) {
      f(tasks_[task], first, last - first);
    });
  }

  ParameterSet<B>* parameters_;
  std::string name_;
  std::string owner_;  ///< The linear after which the router's parameters are named.
  Index width_;
  Hyper hyper_;
  Random random_;
  Parameter<T>* map_ = nullptr;
  Parameter<T>* bias_ = nullptr;
  std::vector<Task> tasks_;
};

}  // namespace branchlora
