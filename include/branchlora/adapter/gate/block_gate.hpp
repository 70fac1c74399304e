/// @file
/// One gate for all linears of a decoder block.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/linear_gate.hpp"

namespace branchlora {

/// The gate of `router::PerBlock`. That of a block's first linear is a `LinearGate`; those of the
/// others `follow` it: they have no router, and take what it chose last. One that follows nothing
/// is the first of a block of one linear.
template <Backend B, class V>
class BlockGate {
 public:
  using T = typename B::Scalar;
  using Own = LinearGate<B, V>;
  using BatchGates = typename Own::BatchGates;
  static constexpr bool fused = false;

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
  BatchGates open(Tape<B>& tape, Var<T> x, const Routing& routing) {
    if (leads()) return latest_ = own().open(tape, x, routing);
    const BatchGates& g = first_->latest_;
    expect(g.sequences == routing.sequences && routing.sequences != nullptr,
           "{}: expected a batch that the first linear of the block has seen", name_);
    return g;
  }

  /// No gradient reaches the gate by way of those that follow.
  MatrixView<T> close(Tape<B>& tape, const BatchGates& g, MatrixView<T> dgates,
                      MatrixView<T> dlogits) {
    return leads() ? own_->close(tape, g, dgates, dlogits) : MatrixView<T>();
  }
  void to_x(Tape<B>& tape, const BatchGates& g, Var<T> x, MatrixView<T> dlogits) {
    if (leads()) own_->to_x(tape, g, x, dlogits);
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
  BatchGates latest_;
};

}  // namespace branchlora
