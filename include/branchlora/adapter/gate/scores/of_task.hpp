/// @file
/// Scores that depend on the task alone, whatever the input.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/gate/routers.hpp"
#include "branchlora/adapter/gate/scores/linear_of_sequences.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/task_router.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/core/to_host.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The scores of routers that know the task alone, one row a sequence:
///
///     scores = e_t, or W e_t + b
///
/// e_t is `<layer>.router.<t>`, 1 x width, and comes with `begin_task`; W is
/// `<layer>.router.shared`, V::gate_rows x width, and b `<layer>.router.shared.bias`. Several tasks
/// may begin before one ends: all of them train then, in mixed batches.
///
/// Of a router of the whole model, <layer> is the linear whose scores were made first; those of the
/// others find these parameters in the model's set, and all add to their gradients. Nothing else
/// passes between linears, since every one makes the same gates of them.
template <Backend B, class V>
class TaskScores {
 public:
  using T = typename B::Scalar;
  using Policy = typename V::Router;
  static_assert(check_task_router<Policy, true>(), "A router is not what TaskRouter asks for.");
  using Pass = GatePass<T, V::top_k>;
  using Router = typename Routers<B>::Router;
  static constexpr bool below_a = false;

  TaskScores(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper& hyper,
             const Random& random)
      : parameters_(&parameters),
        owner_(owner(parameters, name)),
        width_(Policy::width(V::capacity, d_in)),
        temperature_(static_cast<T>(hyper.temperature)),
        random_(random),
        routers_(parameters, name, true, V::capacity) {
    if constexpr (Policy::mapped) {
      map_ = parameters.find(owner_ + ".router.shared");
      bias_ = parameters.find(owner_ + ".router.shared.bias");
      if (map_ != nullptr) return;
      const double bound = 1.0 / std::sqrt(static_cast<double>(width_));
      map_ = &shared(".router.shared", V::gate_rows, width_, Policy::gain * bound);
      if constexpr (Policy::bias) {
        bias_ = &shared(".router.shared.bias", 1, V::gate_rows, bound);
      }
    }
  }

  /// Adds e_t of the next task, to be trained, which may choose among `allowed`.
  void begin_task(Index task, BranchSet allowed) {
    routers_.begin_task(task, allowed, [this](Index t) -> Parameter<T>& { return make(t); });
    if constexpr (Policy::drawn) {
      Tape<B> tape(parameters_->backend());
      auto drawn = to_host(parameters_->backend(), scores(tape, routers_.of(task).weight->value));
      for (T& score : drawn) score /= temperature_;
      std::int32_t best = 0;
      routers_.of(task).allowed = gating::top_k<V::capacity, 1>(drawn.data(), allowed, &best);
    }
  }
  void restore(std::span<const std::uint64_t> state) {
    routers_.restore(state, [this](Index t) -> Parameter<T>& { return make(t); });
  }
  Routers<B>& routers() { return routers_; }
  const Routers<B>& routers() const { return routers_; }

  /// Whether any of its parameters trains.
  bool trains() const {
    return (map_ != nullptr && map_->trainable) || routers_.trains() ||
           (bias_ != nullptr && bias_->trainable);
  }

  /// The scores of a batch. Throws `Error` if a task has not begun.
  void open(Tape<B>& tape, Var<T> /*x*/, Pass& g, MatrixView<T> /*below*/) const {
    g.inputs = tape.scratch(g.sequences->count(), width_);
    routers_.for_runs(*g.sequences, g.tasks, [&](const Router& router, Index first, Index count) {
      for (Index s = first; s < first + count; ++s) {
        tape.backend().copy(router.weight->value, g.inputs.middle_rows(s, 1));
      }
    });
    g.logits = scores(tape, g.inputs);
  }

  /// What a team does to score sequence s: nothing, since `open` did.
  struct Scored {
    const gate::RouterOfSequence<T>* routers;
    template <class Team>
    BRANCHLORA_BODY void operator()(const Team& /*team*/, Index /*s*/) const {}
  };
  Scored scorer(Tape<B>& tape, MatrixView<const T> /*x*/, const Pass& g) const {
    return {gate::routers_of_sequences(tape, routers_, g)};
  }

  /// From the gradient of the logits to all that trains here. x has no part in the scores.
  void backward(Tape<B>& tape, Var<T> /*x*/, const Pass& g, GateGradients<T>& d) const {
    auto& backend = tape.backend();
    auto dinputs = d.logits;
    if constexpr (Policy::mapped) {
      dinputs = tape.scratch(d.logits.rows, width_);
      backend.skinny_axpy(d.logits, map_->value, T(1), dinputs, false, Chosen{});
      if (map_->trainable) {
        const auto dw = map_->sink();
        backend.skinny_outer(d.logits, g.inputs, T(1), dw.view, dw.add, Chosen{});
      }
      if (Policy::bias && bias_->trainable) gate::sum_rows(backend, d.logits, *bias_);
    }
    routers_.for_runs(*g.sequences, g.tasks, [&](const Router& router, Index first, Index count) {
      if (!router.weight->trainable) return;
      gate::sum_rows(backend, dinputs.middle_rows(first, count), *router.weight);
    });
  }

  // Public since nvcc takes bodies from public functions only.

  /// The scores of rows of embeddings.
  MatrixView<T> scores(Tape<B>& tape, MatrixView<T> inputs) const {
    auto& backend = tape.backend();
    const auto scores = tape.scratch(inputs.rows, V::gate_rows);
    if constexpr (Policy::mapped) {
      backend.skinny_dot(inputs, map_->value, T(1), scores, false, Chosen{});
    } else {
      backend.copy(inputs, scores);
    }
    if constexpr (Policy::bias) {
      backend.for_each(scores.size(), [=, bias = bias_->value.data] BRANCHLORA_BODY(Index i) {
        scores.data[i] += bias[i % scores.cols];
      });
    }
    return scores;
  }

 private:
  /// The name of the linear whose router this one's is: its own, or the first of the model.
  static std::string owner([[maybe_unused]] const ParameterSet<B>& parameters,
                           const std::string& name) {
    if constexpr (Policy::per_model) {
      constexpr std::string_view suffix = ".router.shared";
      for (const Parameter<T>& p : parameters) {
        if (p.name.ends_with(suffix)) return p.name.substr(0, p.name.size() - suffix.size());
      }
    }
    return name;
  }

  /// Adds what all tasks share, uniform in +-bound, and trained unless the router is drawn.
  Parameter<T>& shared(const char* suffix, Index rows, Index cols, double bound) {
    auto& p = parameters_->add(owner_ + suffix, rows, cols);
    nn::fill_uniform(*parameters_, p, random_, bound);
    parameters_->set_trainable(p, !Policy::drawn);
    p.constant = Policy::drawn;
    return p;
  }

  Parameter<T>& make(Index task) {
    const std::string name = numbered(owner_ + ".router", task);
    if (Parameter<T>* found = parameters_->find(name)) return *found;
    auto& e = parameters_->add(name, 1, width_);
    nn::fill(*parameters_, e, random_, [](const Random& random, std::size_t i) {
      return Policy::start(random, i, V::capacity);
    });
    if (V::RouterStart::copies && routers_.count() > 0) {
      parameters_->backend().copy(routers_.of(routers_.count() - 1).weight->value, e.value);
    }
    parameters_->set_trainable(e, true);
    return e;
  }

  ParameterSet<B>* parameters_;
  std::string owner_;  ///< The linear after which the router's parameters are named.
  Index width_;
  T temperature_;
  Random random_;
  Routers<B> routers_;
  Parameter<T>* map_ = nullptr;
  Parameter<T>* bias_ = nullptr;
};

}  // namespace branchlora
