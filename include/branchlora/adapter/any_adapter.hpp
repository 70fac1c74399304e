/// @file
/// What a model knows of its adapters, whatever their variant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/policy/branch_start.hpp"
#include "branchlora/adapter/policy/start.hpp"
#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/autograd/op/frozen_linear.hpp"
#include "branchlora/selector/task_selector.hpp"

namespace branchlora {

/// An adapter beside one linear layer. `AdapterLayer<B, V>` is the model of it for a variant V; the
/// call through this interface, once a layer and step, lets models and training loops be compiled
/// once for all variants.
template <Backend B>
class AnyAdapter {
 public:
  using T = typename B::Scalar;

  AnyAdapter() = default;
  AnyAdapter(const AnyAdapter&) = delete;
  AnyAdapter& operator=(const AnyAdapter&) = delete;
  virtual ~AnyAdapter() = default;

  /// Adds the adapter's output for x to the memory of y, the frozen layer's output.
  virtual Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const RoutingContext& context) = 0;
  /// The output of the frozen layer `base`, which has no bias, with the adapter's added to it.
  virtual Var<T> with_base(Tape<B>& tape, Var<T> x, const typename B::FrozenWeight& base,
                           const RoutingContext& context) {
    return (*this)(tape, x, op::frozen_linear(tape, x, base), context);
  }
  /// Prepares for task `task`, numbered from 0.
  virtual void begin_task(Index task) = 0;
  /// Gives the branch of the task that has just begun the values of that of task `earlier`.
  virtual void start_branch_at(Index /*earlier*/) {}
  /// What the branches ask for that have begun and wait for their start; nothing if none does.
  virtual init::Needs needs() const { return {}; }
  /// Starts these branches, with that.
  virtual void start(init::Given /*given*/) {}
  /// Starts stage `stage` (0, 1, ...) of the task that was begun, where a method has stages.
  virtual void begin_stage(Index /*stage*/) {}
  /// Takes from the adapter of a block's first linear what its variant decides once a block. Called
  /// before the first task, with an adapter of the same method.
  virtual void follow(AnyAdapter& /*first*/) {}
  /// Freezes what must not change after a task.
  virtual void end_task() = 0;
  /// The state that is in no parameter.
  virtual std::vector<std::uint64_t> state() const = 0;
  /// Restores what `state` gave.
  virtual void restore(std::span<const std::uint64_t> state) = 0;
  /// Adds what the adapter does to the weight that it stands beside; throws if it can not be said
  /// by a weight.
  virtual void merge_into(MatrixView<T> weight) const = 0;
  /// The same for one task, of an adapter that is a weight once the task is known.
  virtual void merge_task_into(MatrixView<T> weight, Index /*task*/) const { merge_into(weight); }
  /// Whether a token's output, or a loss of the adapter's own, depends on tokens of its sequence
  /// beside itself and the first: then none may be left out of a training step or prompt.
  virtual bool needs_every_token() const { return false; }
  /// How active each branch was in what was observed.
  virtual std::vector<double> activity() const = 0;
  /// The branches in use.
  virtual BranchSet active() const = 0;
  /// The branches that no longer train.
  virtual BranchSet frozen() const = 0;
  /// The name of the layer.
  virtual const std::string& name() const = 0;
};

/// Where an adapter stands: beside which linear layer, of which of a decoder's blocks. A linear by
/// itself is of the only block.
struct Place {
  std::string name;  ///< Of the layer.
  Index block = 0;   ///< From the lowest.
  Index blocks = 1;  ///< How many there are.
};

template <Backend B>
class AnyFfn;
template <Backend B>
struct FfnLinears;

/// A variant as a value: what a training loop must know of it, and how its adapters are made.
/// `method_of<B, V>()` (adapter/method.hpp) makes one of a type.
template <Backend B>
struct Method {
  std::string description;       ///< The full list of policies.
  bool per_task_router = false;  ///< Each task trains a router of its own.
  bool selects = false;          ///< A router is picked at inference.
  /// What finds the task whose router is picked, each for itself, the method's own first; empty:
  /// the task is told.
  std::vector<SelectorMaker> selectors{};
  bool freezes = false;  ///< Branches are frozen after a task by how active they were.
  /// Makes the adapter beside the frozen linear layer at `place` of the given weight (d_out x d_in,
  /// which outlives it and holds its final values). Null: there is none beside this linear.
  std::function<std::unique_ptr<AnyAdapter<B>>(ParameterSet<B>&, const Place& place,
                                               MatrixView<const typename B::Scalar> weight,
                                               const Hyper&, const Random&)>
      make;
  /// Makes what stands in place of a block's feed-forward layer (adapter/any_ffn.hpp); empty: the
  /// block's own, its linears adapted by `make`.
  std::function<std::unique_ptr<AnyFfn<B>>(ParameterSet<B>&, const FfnLinears<B>&, const Hyper&,
                                           const Random&)>
      make_ffn{};
  /// The stages in which a task is learned, each as a share of its steps; they sum to 1. Every
  /// stage has an optimiser and a learning-rate schedule of its own.
  std::vector<double> stages{1.0};
  bool has_bank = false;                  ///< Each task trains a branch of its own.
  StartAt branch_start = StartAt::fresh;  ///< How that branch starts.
  bool reads_weight = false;  ///< Its adapters read the linear's weight, not its shape alone.
  init::Needs needs{};        ///< What the start of its branches asks for.

  /// Whether a selector reads the decoder's hidden state, which is to be prepared then.
  bool reads_hidden() const { return std::ranges::any_of(selectors, &SelectorMaker::reads_hidden); }
};

}  // namespace branchlora
