/// @file
/// A gate as a module: from a layer's input to the weight of each branch, and back.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "branchlora/adapter/gate/gate_losses.hpp"
#include "branchlora/adapter/gate/gate_memory.hpp"
#include "branchlora/adapter/gate/losses/branch_bias.hpp"
#include "branchlora/adapter/gate/sequence_units.hpp"
#include "branchlora/adapter/gate/token_units.hpp"
#include "branchlora/adapter/gate/weigh.hpp"

namespace branchlora {

/// The gates of variant V, made of four parts:
///
///     units    which tokens share gates, and what is read of them    V::Granularity, *_units.hpp
///     scores   from a unit's input to one number a row               `Scores`, scores/
///     weights  from scores to gates and a choice                     V::Gating, weigh.hpp
///     losses   what else pulls at gates or scores                    gate_losses.hpp, losses/
///
/// `Scores` owns the routers that train. `LinearScores` and `TaskScores` are its models.
template <Backend B, class V, class Scores_>
class GateLayer {
 public:
  using T = typename B::Scalar;
  using Scores = Scores_;
  using Losses = GateLosses<B, V>;
  using Pass = typename Losses::Pass;
  /// Whether the router lies below A, so that one product serves both.
  static constexpr bool below_a = Scores::below_a;
  /// Whether gates are made row-wise: a unit is a token, which needs no other.
  static constexpr bool rowwise = !V::Granularity::per_sequence;
  static constexpr bool biased = BiasedGating<typename V::Gating>;

  GateLayer(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper& hyper,
            const Random& random)
      : name_(name),
        hyper_(hyper),
        scores_(parameters, name, d_in, hyper, random),
        losses_(name, hyper) {}

  /// Takes `weight`, V::gate_rows x d_in below A, as the router.
  void adopt(Parameter<T>& weight) { scores_.adopt(weight); }

  /// Lets the router of `task` (a new one, where routers are per task) choose among `allowed`.
  void begin_task(Index task, BranchSet allowed) { scores_.begin_task(task, allowed); }
  /// Trains the router, or freezes it, as a stage has it.
  void begin_stage(const Stage& stage) {
    stage_ = stage;
    scores_.routers().train(stage.router);
  }
  /// Freezes what is of the task that ends alone.
  void end_task() { scores_.routers().end_task(); }

  bool trains() const { return scores_.trains(); }
  /// How many routers there are.
  Index routers() const { return scores_.routers().count(); }
  /// The branches that the router of `task` (or the only one) may choose.
  BranchSet allowed(Index task = 0) const { return scores_.routers().of(task).allowed; }
  /// The bias of each branch, where the gating has one.
  std::span<const T> bias() const {
    if constexpr (biased) return bias_.values();
    return {};
  }

  /// What is in no parameter: the set that each router may choose, and the biases.
  std::vector<std::uint64_t> state() const {
    auto s = scores_.routers().state();
    if constexpr (biased) bias_.save(s);
    return s;
  }
  /// Restores what `state` gave at the end of a task; missing routers are made.
  void restore(std::span<const std::uint64_t> s) {
    if constexpr (biased) s = bias_.restore(s, name_);
    scores_.restore(s);
  }

  /// Memory for the gates of a batch, and what its scores need before they are made. `below` is
  /// where the product of A makes them, if the router lies there. Throws `Error` if a task has no
  /// router, or a sample no branch.
  Pass open(Tape<B>& tape, Var<T> x, const RoutingContext& context, MatrixView<T> below) const {
    Pass g;
    g.sequences = context.sequences;
    g.tasks = context.tasks;
    g.chosen = tape.template array<std::int32_t>(x.rows() * V::top_k);
    if (remembers && context.memory == RoutingContext::Memory::reuse) {
      memory_.recall(tape, x.rows(), V::capacity, name_, g);
      return g;
    }
    losses_.label(tape, context, scores_.routers(), stage_, g);
    scores_.open(tape, x, g, below);
    g.saved = tape.scratch(g.logits.rows, V::gate_rows);
    g.weights = tape.scratch(g.logits.rows, V::capacity);
    g.unit_chosen =
        rowwise ? g.chosen : tape.template array<std::int32_t>(g.logits.rows * V::top_k);
    if constexpr (!rowwise || Losses::localised) g.offsets = gate::offsets_of(tape, *g.sequences);
    if constexpr (!rowwise) g.unit_of = gate::units_of_tokens(tape, *g.sequences);
    if constexpr (biased) g.bias = bias_.upload(tape);
    return g;
  }

  /// Adds the steps of g = gating(scores). With gates of tokens, `mix(gates, token)` is fused into
  /// them: it is called for each token right after its gates are known. All arguments must outlive
  /// the plan.
  template <class Mix = gate::NoMix>
  void forward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const Pass& g,
               const Mix& mix = gate::no_mix) const {
    if (g.kept) return;
    if constexpr (rowwise) {
      plan.rowwise({}, [this, &g, &mix](B& backend, Index first, Index count) {
        Units::forward(backend, scores_, g, temperature(), first, count, mix);
      });
    } else {
      plan.batch([this, &tape, x, &g] { Units::forward(tape, scores_, x, g, temperature()); });
    }
  }

  /// Ends the forward pass: all gates of the batch are known.
  void end_forward(Tape<B>& tape, MatrixView<const T> x, const RoutingContext& context, Pass& g) {
    if (g.kept) return;
    losses_.forward(tape, context, x, scores_.routers(), g);
    if (context.losses != nullptr) {
      losses_.add_values(tape, g, scores_.routers(), stage_, *context.losses);
    }
    if constexpr (BiasBalance<typename V::Balance>) {
      if (context.supervise && tape.recording()) bias_.shift(tape, g.weights, hyper_.bias_rate);
    }
    if (remembers && context.memory == RoutingContext::Memory::remember) {
      memory_.remember(tape.backend(), g);
    }
  }

  /// Memory for the gradients of the gates of `tokens` tokens; `below` as in `open`.
  GateGradients<T> gradients(Tape<B>& tape, const Pass& g, Index tokens,
                             MatrixView<T> below) const {
    GateGradients<T> d;
    d.gates = tape.scratch(tokens, V::capacity);
    if constexpr (Losses::localised) tape.backend().fill(d.gates, T(0));
    d.logits = below_a ? below : tape.scratch(g.logits.rows, V::gate_rows);
    return d;
  }

  /// Adds the steps from the gradient of z, by `unmix(gates, token)`, to those of gates, logits and
  /// the router, and to that of x unless the product of A makes it. With gates of sequences only
  /// the first is a step of the plan, and `end_backward` does the others.
  template <class Unmix>
  void backward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const Pass& g, GateGradients<T>& d,
                const Unmix& unmix) const {
    if constexpr (rowwise && !Losses::of_batch) {
      plan.rowwise({}, [this, &g, &d, &unmix](B& backend, Index first, Index count) {
        Units::backward(backend, g, d, temperature(), first, count, unmix);
      });
    } else {
      gate::for_tokens(plan, g, unmix);
    }
    if constexpr (rowwise) {
      if constexpr (Losses::of_batch) plan.batch([this, &tape, &g, &d] { close(tape, g, d); });
      scores_.backward(plan, tape, x, g, d, Losses::of_batch);
    }
  }

  /// Ends the backward pass: the gradient of x holds all but what passes through the gates.
  void end_backward(Tape<B>& tape, Var<T> x, const Pass& g, GateGradients<T>& d) const {
    if constexpr (!rowwise) {
      close(tape, g, d);
      scores_.backward(tape, x, g, d);
      losses_.to_embeddings(tape, g, scores_.routers(), x);
    }
    if constexpr (V::gate_biases > 0) scores_.sum_biases(tape, g, d.logits);
  }

 private:
  using Units = gate::UnitsOf<B, V>;
  /// Gates of sequences are kept for decoding, unless the task says them anew.
  static constexpr bool remembers = !rowwise && !std::same_as<typename V::Granularity, per::Task>;

  T temperature() const { return static_cast<T>(hyper_.temperature); }

  /// From the gradient of the gates of all units to that of their logits.
  void close(Tape<B>& tape, const Pass& g, GateGradients<T>& d) const {
    losses_.to_gates(tape, g, d.gates);
    // Losses add to the gradient of scores / temperature before it is divided.
    Units::close(tape, g, d, Losses::of_batch ? T(1) : temperature());
    if constexpr (!Losses::of_batch) return;
    losses_.to_logits(tape, g, scores_.routers(), stage_, d.logits);
    if (hyper_.temperature != 1.0) gate::cool(tape.backend(), d.logits, temperature());
  }

  std::string name_;
  Hyper hyper_;
  Scores scores_;
  Losses losses_;
  Stage stage_ = V::Supervision::stages.front();
  GateMemory<B, V::top_k> memory_;
  [[no_unique_address]] std::conditional_t<biased, gate::BranchBias<B, V>, std::monostate> bias_;
};

}  // namespace branchlora
