/// @file
/// One gate for all linears of a decoder block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/gate_layer.hpp"

namespace branchlora {

/// The gate of `router::PerBlock`. A block's first linear owns an `Own` gate; those of the others
/// `follow` it: they have no router, and take what it chose last. One that follows nothing is the
/// first of a block of one linear.
template <Backend B, class V, class Own>
class BlockGate {
 public:
  using T = typename B::Scalar;
  using Pass = typename Own::Pass;
  static constexpr bool below_a = false;
  static constexpr bool rowwise = Own::rowwise;
  static_assert(!Own::below_a);

  /// The router comes with the first task, when it is known who follows.
  BlockGate(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper& hyper,
            const Random& random)
      : parameters_(&parameters), name_(name), d_in_(d_in), hyper_(hyper), random_(random) {}

  /// Takes the gates of a block's first linear from now on. Throws `Error` if a task has begun.
  void follow(BlockGate& first) {
    expect(!own_, "{}: a gate can follow another's only before its first task begins", name_);
    first_ = &first;
  }

  void begin_task(Index task, BranchSet allowed) {
    if (leads()) own().begin_task(task, allowed);
  }
  void begin_stage(const Stage& stage) {
    stage_ = stage;
    if (own_) own_->begin_stage(stage);
  }
  void end_task() {
    if (own_) own_->end_task();
  }

  bool trains() const { return own_ && own_->trains(); }
  Index routers() const { return own_ ? own_->routers() : 0; }
  BranchSet allowed(Index task = 0) const {
    return leads() ? own_->allowed(task) : first_->allowed(task);
  }

  std::vector<std::uint64_t> state() const {
    return own_ ? own_->state() : std::vector<std::uint64_t>();
  }
  void restore(std::span<const std::uint64_t> s) {
    if (leads()) own().restore(s);
  }

  /// The gates of a batch. Throws `Error` if the block's first linear did not see it just before.
  Pass open(Tape<B>& tape, Var<T> x, const RoutingContext& context, MatrixView<T> below) {
    if (leads()) return latest_ = own().open(tape, x, context, below);
    const Pass& g = first_->latest_;
    expect(g.sequences == context.sequences && context.sequences != nullptr,
           "{}: expected a batch that the first linear of the block has seen", name_);
    return g;
  }

  template <class Mix = gate::NoMix>
  void forward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const Pass& g,
               const Mix& mix = gate::no_mix) const {
    if (leads()) return own_->forward(plan, tape, x, g, mix);
    gate::for_tokens(plan, g, mix);
  }
  void end_forward(Tape<B>& tape, MatrixView<const T> x, const RoutingContext& context, Pass& g) {
    if (leads()) own_->end_forward(tape, x, context, g);
  }

  GateGradients<T> gradients(Tape<B>& tape, const Pass& g, Index tokens, MatrixView<T> below) {
    if (leads()) return own_->gradients(tape, g, tokens, below);
    return {tape.scratch(tokens, V::capacity), {}, {}};
  }
  /// No gradient reaches the gate from the linears that follow.
  template <class Unmix>
  void backward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const Pass& g, GateGradients<T>& d,
                const Unmix& unmix) const {
    if (leads()) return own_->backward(plan, tape, x, g, d, unmix);
    gate::for_tokens(plan, g, unmix);
  }
  void end_backward(Tape<B>& tape, Var<T> x, const Pass& g, GateGradients<T>& d) const {
    if (leads()) own_->end_backward(tape, x, g, d);
  }

 private:
  bool leads() const { return first_ == nullptr; }

  Own& own() {
    if (!own_) {
      own_.emplace(*parameters_, name_, d_in_, hyper_, random_);
      own_->begin_stage(stage_);
    }
    return *own_;
  }

  ParameterSet<B>* parameters_;
  std::string name_;
  Index d_in_;
  Hyper hyper_;
  Random random_;
  Stage stage_ = V::Supervision::stages.front();
  std::optional<Own> own_;
  BlockGate* first_ = nullptr;
  Pass latest_;
};

}  // namespace branchlora
