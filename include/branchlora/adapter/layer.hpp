/// @file
/// The engine: one adapter on one linear layer, whatever its policies.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/adapter.hpp"
#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/adapter/branch_states.hpp"
#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/layer_pass.hpp"
#include "branchlora/adapter/merge_layer.hpp"
#include "branchlora/adapter/start_layer.hpp"

namespace branchlora {

/// One adapter of variant `V` beside a frozen linear layer of d_in inputs and d_out outputs. What
/// it computes is in adapter/layer_pass.hpp; this is what it is between batches: its parameters,
/// its branches, and what tasks and stages change of them.
template <Backend B, class V>
class AdapterLayer final : public AnyAdapter<B> {
 public:
  using T = typename B::Scalar;
  using Engine = LayerPass<B, V>;
  static constexpr bool routed = Engine::routed;
  static constexpr bool transformed = V::Transform::enabled;
  /// Whether the trunk stops training while tasks go on.
  static constexpr bool trunk_freezes = requires { V::Trunk::trained_tasks; };
  /// Whether the task alone decides the gates, so that for one task the adapter is a weight.
  static constexpr bool of_task = std::same_as<typename V::Granularity, per::Task>;
  /// Whether branches start from more than a shape.
  static constexpr bool starts = V::needs.any();

  /// Adds the adapter's parameters under `name`, initialised from `random` (B is zero) and
  /// trainable. Per-task routers come with `begin_task`.
  AdapterLayer(ParameterSet<B>& parameters, const std::string& name, Index d_in, Index d_out,
               const Hyper& hyper, const Random& random)
      : name_(name),
        hyper_(hyper),
        branches_(name),
        engine_(parameters, name, d_in, d_out, hyper, random) {
    engine_.factors.train_a(first_branches(V::capacity));
    train();
    begin_stage(0);
  }

  /// y + s B mix(A x): adds to the memory of `y`, which must have no other reader.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const RoutingContext& context) override {
    expect_shape(y.value(), x.rows(), engine_.factors.up().cols, name_.c_str());
    return forward(tape, input_dropout(tape, x, hyper_.dropout, context, name_), y, nullptr,
                   context);
  }

  /// The same together with the product that makes y, if it has the same x.
  Var<T> with_base(Tape<B>& tape, Var<T> x, const typename B::FrozenWeight& base,
                   const RoutingContext& context) override {
    if (hyper_.dropout > 0) return AnyAdapter<B>::with_base(tape, x, base, context);
    return forward(tape, x, tape.result(x.rows(), engine_.factors.up().cols, x), &base, context);
  }

  /// Starts task `task` (0, 1, ...): see `BranchStates`. Where routers are per task, a new one is
  /// made, which may choose what the reach policy allows now.
  void begin_task(Index task) override {
    branches_.begin_task(task);
    begun_ = task + 1;
    engine_.gate.begin_task(task, branches_.reachable());
    if constexpr (transformed) engine_.transform.begin_task();
    if constexpr (starts) {
      if (BranchStates<V>::own_branches || task == 0) {
        waiting_ |= BranchSet{1} << (BranchStates<V>::own_branches ? task : 0);
      }
    }
    train();
    begin_stage(0);
  }

  /// What the branches of the tasks that have begun wait for.
  init::Needs needs() const override { return waiting_ != 0 ? V::needs : init::Needs{}; }

  /// Starts each branch that waits, all alike.
  void start(init::Given given) override {
    if constexpr (starts) {
      given.layer = name_;
      given.rank = V::rank;
      given.scale = V::scale(hyper_);
      start_layer(engine_, V::Init::start(given), waiting_);
      waiting_ = 0;
    }
  }

  void follow([[maybe_unused]] AnyAdapter<B>& first) override {
    if constexpr (requires(typename Engine::Gate & gate) { gate.follow(gate); }) {
      engine_.gate.follow(dynamic_cast<AdapterLayer&>(first).engine_.gate);
    }
  }

  void start_branch_at(Index earlier) override {
    if constexpr (BranchStates<V>::own_branches) {
      const Index task = std::popcount(branches_.active()) - 1;
      expect(earlier >= 0 && earlier < task,
             "{}: the branch of task {} starts at that of an earlier task, found {}", name_, task,
             earlier);
      engine_.factors.copy_branch(earlier, task);
    } else {
      AnyAdapter<B>::start_branch_at(earlier);
    }
  }

  /// Trains what the supervision policy lets train in this stage.
  void begin_stage(Index stage) override {
    if constexpr (V::Supervision::enabled) {
      constexpr auto& stages = V::Supervision::stages;
      expect(stage >= 0 && stage < std::ssize(stages), "{}: stage {} of {}", name_, stage,
             stages.size());
      stage_ = stages[static_cast<std::size_t>(stage)];
      engine_.gate.begin_stage(stage_);
      train();
    }
  }

  /// Ends a task: its router, where routers are per task, never changes again, nor do the branches
  /// that the freezing policy names.
  void end_task() override {
    engine_.gate.end_task();
    if constexpr (transformed) engine_.transform.end_task();
    if constexpr (routed) {
      branches_.end_task();
      train();
    }
    begin_stage(0);
  }

  /// W += s B^T A, or the mean of that under constant gates: what the adapter does, added to the
  /// weight that it stands beside. Throws `Error` if a gate depends on the input or the task.
  void merge_into(MatrixView<T> weight) const override {
    if constexpr (of_task) {
      fail("{}: an adapter whose gates depend on the task is merged for one task; found {}", name_,
           V::describe());
    } else if constexpr (V::constant_gates) {
      merge_layer_of_task(engine_, weight, 0);
    } else if constexpr (routed) {
      fail(
          "{}: only an adapter without a router can be merged, since a gate depends on the input; "
          "found {}",
          name_, V::describe());
    } else {
      merge_layer(engine_, weight);
    }
  }

  /// W += s B^T M A, with M what the gates and the matrix of `task` make of u. Throws `Error` if
  /// the gates depend on the input or the task has not begun.
  void merge_task_into(MatrixView<T> weight, Index task) const override {
    if constexpr (of_task) {
      merge_layer_of_task(engine_, weight, task);
    } else {
      AnyAdapter<B>::merge_task_into(weight, task);
    }
  }

  bool needs_every_token() const override {
    return V::Balance::enabled || V::Supervision::enabled || V::Granularity::every_token;
  }

  BranchSet active() const override { return branches_.active(); }
  BranchSet frozen() const override { return branches_.frozen(); }
  /// The branches whose B trains.
  BranchSet tunable() const { return branches_.tunable(); }
  /// The branches that the router of `task` (or the only one) may choose.
  BranchSet allowed(Index task = 0) const { return engine_.gate.allowed(task); }
  /// How many routers there are.
  Index routers() const { return engine_.gate.routers(); }
  /// The bias of each branch, where the gating has one: SMoRA's.
  std::span<const T> bias() const {
    if constexpr (requires { engine_.gate.bias(); }) return engine_.gate.bias();
    return {};
  }
  /// The branch that `task` keeps for ever, from 0; -1 unless the router is drawn: MoRE's rank is
  /// one more.
  Index drawn(Index task) const {
    if constexpr (requires { requires V::Router::drawn; }) return std::countr_zero(allowed(task));
    return -1;
  }
  std::vector<double> activity() const override { return branches_.activity(); }
  const std::string& name() const override { return name_; }
  T scale() const { return engine_.scale; }

  /// The state that is in no parameter: that of the branches, then that of the gate. For
  /// checkpoints.
  std::vector<std::uint64_t> state() const override {
    auto s = branches_.state();
    if constexpr (trunk_freezes) s.push_back(static_cast<std::uint64_t>(begun_));
    const auto gate = engine_.gate.state();
    s.insert(s.end(), gate.begin(), gate.end());
    return s;
  }

  /// Restores what `state` gave at the end of a task; routers of finished tasks are created, their
  /// weights to be loaded.
  void restore(std::span<const std::uint64_t> s) override {
    s = branches_.restore(s);
    if constexpr (trunk_freezes) {
      expect(!s.empty(), "{}: the saved state does not say how many tasks have begun", name_);
      begun_ = static_cast<Index>(s.front());
      s = s.subspan(1);
    }
    train();
    engine_.gate.restore(s);
    waiting_ = 0;
    if constexpr (transformed) engine_.transform.restore(engine_.gate.routers());
    begin_stage(0);
  }

 private:
  /// Trains the factors of the branches that train in this stage, and freezes the others.
  void train() {
    const BranchSet training = stage_.bank ? branches_.tunable() : 0;
    engine_.factors.train_b(training);
    if constexpr (BranchStates<V>::own_branches && !V::Trunk::shared) {
      engine_.factors.train_a(training);
    } else if constexpr (BranchStates<V>::own_branches || V::Supervision::enabled ||
                         trunk_freezes) {
      const bool trains = stage_.bank && begun_ <= trunk_tasks;
      engine_.factors.train_a(trains ? first_branches(V::capacity) : 0);
    }
  }

  /// In how many tasks the trunk trains.
  static constexpr Index trunk_tasks = [] {
    if constexpr (trunk_freezes) return Index{V::Trunk::trained_tasks};
    return std::numeric_limits<Index>::max();
  }();

  Var<T> forward(Tape<B>& tape, Var<T> x, Var<T> y, const typename B::FrozenWeight* base,
                 const RoutingContext& context) {
    if constexpr (BranchStates<V>::own_branches) {
      expect(branches_.active() != 0, "{}: no task has begun: begin_task must come first", name_);
    }
    if constexpr (starts) {
      expect(waiting_ == 0 || !context.supervise,
             "{}: a task trains before its branch has started as {} says: call `start` first",
             name_, V::Init::name());
    }
    const auto [out, gates] = engine_.forward(tape, x, y, base, context);
    if (routed && context.observe) branches_.observe(tape.backend(), gates);
    return out;
  }

  std::string name_;
  Hyper hyper_;
  BranchStates<V> branches_;
  Index begun_ = 0;  ///< How many tasks have begun.
  Stage stage_ = V::Supervision::stages.front();
  BranchSet waiting_ = 0;  ///< The branches that have begun and not started.
  Engine engine_;
};

}  // namespace branchlora
