/// @file
/// The engine: one adapter on one linear layer, whatever its policies.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/adapter.hpp"
#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/adapter/gate/block_gate.hpp"
#include "branchlora/adapter/gate/linear_gate.hpp"
#include "branchlora/adapter/gate/no_gate.hpp"
#include "branchlora/adapter/gate/task_gate.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/mix/branch_mix.hpp"
#include "branchlora/adapter/routing.hpp"
#include "branchlora/adapter/task_transform.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/fused.hpp"

namespace branchlora {

/// One adapter of variant `V` beside a frozen linear layer of d_in inputs and d_out outputs:
///
///     u = A x           down: A has V::a_rows rows (one block of `rank` rows a branch, or one
///                       shared trunk)
///     g = gate(R x)     one row of R a branch; a token, or a sequence, at a time
///     u = Lambda_t u    where the transform policy says so, for the task t
///     z = mix(u, g)     V::b_rows scalars a token, zero for branches that were not chosen
///     y += s B z
///
/// with the policies deciding every step. B is stored transposed, b_rows x d_out, so that every
/// factor has few long rows and the three skinny products of the backend serve both directions.
template <Backend B, class V>
class AdapterLayer final : public AnyAdapter<B> {
 public:
  using T = typename B::Scalar;
  static constexpr Index rank = V::rank;
  static constexpr Index capacity = V::capacity;
  static constexpr Index top_k = V::top_k;
  static constexpr bool routed = V::gate_rows > 0;
  static constexpr bool shared = V::Trunk::shared;
  static constexpr bool sparse = !V::dense;
  static constexpr bool per_token = !V::Granularity::per_sequence;
  using Gate = typename V::Router::template Gate<B, V>;
  using BatchGates = typename Gate::BatchGates;
  using Transform = TaskTransform<B, V>;
  /// Whether router and trunk are one matrix, so that one product serves both.
  static constexpr bool fused = Gate::fused;
  /// Whether the task alone decides the gates, so that for one task the adapter is a weight.
  static constexpr bool of_task = std::same_as<typename V::Granularity, per::Task>;
  static constexpr bool transformed = V::Transform::enabled;
  /// Whether branch t belongs to task t.
  static constexpr bool own_branches = requires { V::Freezing::own_branch; };
  using Mix = mix::BranchMix<shared, rank, capacity, top_k>;
  /// Whether the gates are of tokens and can be made some tokens at a time.
  static constexpr bool gates_by_rows = requires { requires Gate::by_rows; };
  /// Whether the way back through them can be gone so too.
  static constexpr bool closes_by_rows = gates_by_rows && requires { requires !Gate::late; };
  /// Whether a token is mixed as soon as its gates are known: u waits for no choice.
  static constexpr bool at_once = gates_by_rows && (shared || !sparse) && !transformed;

  /// Adds the adapter's parameters under `name`, initialised from `random` (B is zero) and
  /// trainable. Per-task routers come with `begin_task`.
  AdapterLayer(ParameterSet<B>& parameters, const std::string& name, Index d_in, Index d_out,
               const Hyper& hyper, const Random& random)
      : parameters_(&parameters),
        name_(name),
        hyper_(hyper),
        scale_(static_cast<T>(V::scale(hyper))),
        gate_(parameters, name, d_in, hyper, random),
        transform_(parameters, name),
        factors_(parameters, name,
                 {.d_in = d_in,
                  .d_out = d_out,
                  .rank = rank,
                  .branches = capacity,
                  .shared = shared,
                  .router_rows = fused ? capacity : 0},
                 random, typename V::Init{}) {
    if constexpr (fused) gate_.adopt(*factors_.router());
    factors_.train_a(all_branches);
    activity_.assign(static_cast<std::size_t>(capacity), 0.0);
    last_activity_ = activity_;
    set_branches(own_branches ? 0 : first_branches(V::branches), 0);
    begin_stage(0);
  }

  /// y + s B mix(A x): adds to the memory of `y`, which must have no other reader.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const Routing& routing) override {
    expect_shape(y.value(), x.rows(), factors_.up().cols, name_.c_str());
    return add_to(tape, input_dropout(tape, x, hyper_.dropout, routing, name_), y, nullptr,
                  routing);
  }

  /// The same together with the product that makes y, if it has the same x.
  Var<T> with_base(Tape<B>& tape, Var<T> x, const typename B::FrozenWeight& base,
                   const Routing& routing) override {
    if (hyper_.dropout > 0) return AnyAdapter<B>::with_base(tape, x, base, routing);
    return add_to(tape, x, tape.result(x.rows(), factors_.up().cols, x), &base, routing);
  }

  /// Starts task `task` (0, 1, ...). If no branch is left to train, the policy for exhausted
  /// branches acts first. Where routers are per task, a new one is made, which may choose what the
  /// reach policy allows now; a single router may choose every active branch. Where branches belong
  /// to tasks, that of `task` comes into use; throws `Error` if there is none.
  void begin_task(Index task) override {
    if constexpr (own_branches) {
      expect(task == std::popcount(active_), "{}: expected task {} to begin, found {}", name_,
             std::popcount(active_), task);
      expect(task < capacity, "{}: a bank of {} branches has none for task {}", name_, capacity,
             task);
      set_branches(first_branches(static_cast<int>(task) + 1), frozen_);
    } else if (tunable() == 0) {
      set_branches(first_branches(std::min(std::popcount(active_) + static_cast<int>(top_k),
                                           static_cast<int>(capacity))),
                   frozen_ & ~V::Exhausted::thaw(last_activity_, frozen_, static_cast<int>(top_k)));
    }
    if constexpr (routed) {
      BranchSet allowed = V::per_task_router ? V::Reach::allowed(tunable(), frozen_) : active_;
      if (allowed == 0) allowed = active_;
      gate_.begin_task(task, allowed);
    }
    if constexpr (transformed) transform_.begin_task();
    begin_stage(0);
  }

  void follow([[maybe_unused]] AnyAdapter<B>& first) override {
    if constexpr (requires(Gate & gate) { gate.follow(gate); }) {
      gate_.follow(dynamic_cast<AdapterLayer&>(first).gate_);
    }
  }

  /// Trains what the supervision policy lets train in this stage.
  void begin_stage(Index stage) override {
    if constexpr (V::Supervision::enabled) {
      constexpr auto& stages = V::Supervision::stages;
      expect(stage >= 0 && stage < std::ssize(stages), "{}: stage {} of {}", name_, stage,
             stages.size());
      stage_ = stages[static_cast<std::size_t>(stage)];
      gate_.begin_stage(stage_);
      set_branches(active_, frozen_);
    }
  }

  /// Ends a task: its router, where routers are per task, never changes again, nor do the branches
  /// that the freezing policy names, given how active each was in what was observed since the last
  /// call.
  void end_task() override {
    gate_.end_task();
    if constexpr (transformed) transform_.end_task();
    if constexpr (routed) {
      last_activity_ = activity();
      set_branches(active_, frozen_ | V::Freezing::choose(last_activity_, tunable()));
      activity_.assign(activity_.size(), 0.0);
      observed_ = 0;
    }
    begin_stage(0);
  }

  /// W += s B^T A: what the adapter does, added to the weight that it stands beside. Throws `Error`
  /// if the variant has a router, because a gate depends on the input.
  void merge_into(MatrixView<T> weight) const override {
    if constexpr (of_task) {
      fail("{}: an adapter whose gates depend on the task is merged for one task; found {}", name_,
           V::describe());
    } else if constexpr (routed) {
      fail(
          "{}: only an adapter without a router can be merged, since a gate depends on the input; "
          "found {}",
          name_, V::describe());
    } else {
      parameters_->backend().gemm(Op::transpose, Op::none, scale_, factors_.up(), factors_.down(),
                                  T(1), weight);
    }
  }

  /// W += s B^T M A, with M what the gates and the matrix of `task` make of u. Throws `Error` if
  /// the gates depend on the input or the task has not begun.
  void merge_task_into(MatrixView<T> weight, Index task) const override {
    if constexpr (of_task) {
      auto& backend = parameters_->backend();
      Tape<B> tape(backend);
      tape.set_recording(false);
      // The rows of the identity go through the mix as the tokens of one sequence.
      std::vector<T> identity(V::a_rows * V::a_rows);
      for (Index i = 0; i < V::a_rows; ++i) {
        identity[static_cast<std::size_t>(i * (V::a_rows + 1))] = T(1);
      }
      MatrixView<T> u{tape.upload(std::span<const T>(identity)), V::a_rows, V::a_rows};
      Sequences sequences;
      sequences.push(V::a_rows);
      const auto tasks = std::array{static_cast<std::int32_t>(task)};
      const Routing routing{.sequences = &sequences, .tasks = tasks};
      const auto g = gate_.open(tape, tape.constant(factors_.down()), routing);
      if constexpr (transformed) u = transform_.forward(tape, g, u);
      const auto z = tape.scratch(V::a_rows, V::b_rows);
      for_tokens(backend, g, 0, V::a_rows, Mixing{u, z});
      const auto down = tape.scratch(V::b_rows, weight.cols);
      backend.gemm(Op::transpose, Op::none, T(1), z, factors_.down(), T(0), down);
      backend.gemm(Op::transpose, Op::none, scale_, factors_.up(), down, T(1), weight);
    } else {
      AnyAdapter<B>::merge_task_into(weight, task);
    }
  }

  bool needs_every_token() const override {
    return V::Balance::enabled || V::Supervision::enabled || V::Granularity::every_token;
  }

  /// The branches in use.
  BranchSet active() const override { return active_; }
  /// The branches whose B never changes again, unless the policy for exhausted branches thaws it.
  BranchSet frozen() const override { return frozen_; }
  /// The branches whose B trains.
  BranchSet tunable() const { return active_ & ~frozen_; }
  /// The branches that the router of `task` (or the only one) may choose.
  BranchSet allowed(Index task = 0) const { return gate_.allowed(task); }
  /// How many routers there are.
  Index routers() const { return gate_.routers(); }
  /// The activity of each branch, as the freezing policy measures it, in what was observed.
  std::vector<double> activity() const override {
    std::vector<double> mean = activity_;
    for (double& a : mean) a /= observed_ > 0 ? static_cast<double>(observed_) : 1.0;
    return mean;
  }
  const std::string& name() const override { return name_; }
  T scale() const { return scale_; }

  /// The state that is in no parameter: the sets of active and frozen branches, the activity in
  /// the last task (the bits of a double for each branch) and what each router may choose. For
  /// checkpoints.
  std::vector<std::uint64_t> state() const override {
    std::vector<std::uint64_t> s{active_, frozen_};
    for (const double a : last_activity_) s.push_back(std::bit_cast<std::uint64_t>(a));
    const auto gates = gate_.state();
    s.insert(s.end(), gates.begin(), gates.end());
    return s;
  }

  /// Restores what `state` gave at the end of a task; routers of finished tasks are created, their
  /// weights to be loaded.
  void restore(std::span<const std::uint64_t> s) override {
    constexpr std::size_t fixed = 2 + static_cast<std::size_t>(capacity);
    expect(s.size() >= fixed, "{}: the saved state has {} numbers, expected at least {}", name_,
           s.size(), fixed);
    for (const BranchSet set : {s[0], s[1]}) {
      if (set != 0) expect_saved_branches(set, static_cast<int>(capacity), name_);
    }
    set_branches(s[0], s[1]);
    for (std::size_t i = 2; i < fixed; ++i) last_activity_[i - 2] = std::bit_cast<double>(s[i]);
    gate_.restore(s.subspan(fixed));
    if constexpr (transformed) transform_.restore(gate_.routers());
    begin_stage(0);
  }

 private:
  /// The columns of gates' logits beside those of u; none, unless router and trunk are one matrix.
  static MatrixView<T> logits_in(MatrixView<T> down) {
    return fused ? down.middle_cols(V::a_rows, capacity) : MatrixView<T>{};
  }

  Chosen chosen_in_trunk(const BatchGates& g) const {
    if constexpr (routed && sparse && !shared) return Chosen{g.chosen, top_k, rank, true};
    return {};
  }
  Chosen chosen_in_up(const BatchGates& g) const {
    if constexpr (routed && sparse) return Chosen{g.chosen, top_k, rank, true};
    return {};
  }

  void set_branches(BranchSet active, BranchSet frozen) {
    active_ = active;
    frozen_ = frozen;
    const BranchSet training = stage_.bank ? tunable() : 0;
    factors_.train_b(training);
    if constexpr (own_branches || V::Supervision::enabled) {
      const BranchSet in_stage = stage_.bank ? all_branches : 0;
      factors_.train_a(own_branches && !shared ? training : in_stage);
    }
  }

  /// y + s B mix(A x), with y already made, or still to be made: the product of x and `base`.
  Var<T> add_to(Tape<B>& tape, Var<T> x, Var<T> y, const typename B::FrozenWeight* base,
                const Routing& routing) {
    auto& backend = tape.backend();
    const MatrixView<const T> xv = x.value();
    const Index tokens = xv.rows;
    Step step{this, x, y, {}, {}, {}, {}, {}, {}, base};
    step.down = tape.scratch(tokens, V::a_rows + (fused ? capacity : 0));
    step.u = step.v = step.z = step.down.middle_cols(0, V::a_rows);
    if constexpr (routed) {
      step.z = tape.scratch(tokens, V::b_rows);
      step.gates = open(tape, step, routing);
    }
    const auto rows = [this, &step](B& some, Index first, Index count) {
      this->rows_down(some, step, first, count);
      if constexpr (routed && !at_once) this->mix_rows(some, step, first, count);
    };
    RowWork<B> work{std::cref(rows), {}, {xv}};
    if constexpr (transformed) {
      rows_down(backend, step, 0, tokens);
      step.v = transform_.forward(tape, step.gates, step.u);
      mix_rows(backend, step, 0, tokens);
      work = {};
    }
    const LowRankTerms<T> terms{
        LowRankTerm<T>{step.z, factors_.up(), scale_, chosen_in_up(step.gates)}};
    if (base != nullptr) {
      fused::frozen_forward(backend, xv, *base, y.value(), terms, work);
    } else {
      fused::do_work(backend, work, tokens);
      fused::add_terms(backend, terms, y.value(), true);
    }
    if constexpr (gates_by_rows) gate_.end_open(tape, step.gates, routing);
    if (routed && routing.observe) observe(backend, step.gates);
    return tape.finish(step, y.value(),
                       x.needs_grad() || y.needs_grad() || factors_.a_trains() ||
                           factors_.b_trains() || gate_.trains());
  }

  // What follows is public because nvcc takes no body from a private function.
 public:
  /// z of a token, from u and its gates.
  struct Mixing {
    MatrixView<const T> u;
    MatrixView<T> z;

    BRANCHLORA_HD void operator()(const Gates<T, top_k>& g, Index t) const {
      Mix::forward(u.row(t), g.weights.row(g.unit(t)), g.chosen_of(t), z.row(t));
    }
  };

  /// From the gradient of a token's z to those of u and of the gates of the branches it chose.
  struct Unmixing {
    MatrixView<const T> u, dz;
    MatrixView<T> du, dgates;

    BRANCHLORA_HD void operator()(const Gates<T, top_k>& g, Index t) const {
      Mix::backward(u.row(t), g.weights.row(g.unit(t)), g.chosen_of(t), dz.row(t), du.row(t),
                    dgates.row(t));
    }
  };

  /// Does so for the tokens `first .. first + count`.
  template <class What>
  static void for_tokens(B& backend, const Gates<T, top_k>& g, Index first, Index count,
                         What what) {
    backend.for_each(count, [=] BRANCHLORA_BODY(Index i) { what(g, first + i); });
  }

  /// What the way back needs.
  struct Step {
    AdapterLayer* layer;
    Var<T> x, y, out;
    MatrixView<T> down;  ///< u, and the logits of gates where router and trunk are one matrix.
    MatrixView<T> u, v, z;
    BatchGates gates;
    const typename B::FrozenWeight* base;  ///< If y is made here: what x is multiplied by.

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  /// The gates of a batch, or the memory for those of tokens.
  BatchGates open(Tape<B>& tape, const Step& step, const Routing& routing) {
    expect_sequences(routing, step.x.rows(), name_);
    if (V::per_task_router || (V::labelled && routing.supervise)) {
      expect(std::ssize(routing.tasks) == routing.sequences->count(),
             "{}: expected a task for each of {} sequences, found {}", name_,
             routing.sequences->count(), routing.tasks.size());
    }
    if constexpr (gates_by_rows) {
      return gate_.begin_open(tape, step.x, routing, logits_in(step.down));
    } else {
      return gate_.open(tape, step.x, routing);
    }
  }

  void observe(B& backend, const BatchGates& g) {
    for (Index b = 0; b < capacity; ++b) {
      activity_[static_cast<std::size_t>(b)] +=
          backend.sum(g.weights.rows, [=] BRANCHLORA_BODY(Index i) {
            return V::Freezing::Activity::of(static_cast<double>(g.weights(i, b)));
          });
    }
    observed_ += g.weights.rows;
  }

  /// What is made on the way back, and where the gradients of B and A go, if they do.
  struct Back {
    MatrixView<const T> dy;
    MatrixView<T> dz, ddown, du, dgates, dlogits;
    GradientSink<T> to_b, to_a;
    MatrixView<const T> router;  ///< Of the whole batch, if its gradients are made here.
  };

  void backward(Tape<B>& tape, const Step& step) {
    auto& backend = tape.backend();
    tape.share_gradient(step.out, step.y);
    const Index tokens = step.out.rows();
    Back back{step.out.grad(), tape.scratch(tokens, V::b_rows), {}, {}, {}, {}, {}, {}, {}};
    back.ddown = tape.scratch(tokens, V::a_rows + (fused ? capacity : 0));
    back.du = routed ? back.ddown.middle_cols(0, V::a_rows) : back.dz;
    if (factors_.b_trains()) back.to_b = factors_.b_gradient();
    if (factors_.a_trains() || (fused && gate_.trains())) {
      back.to_a = factors_.a_gradient();
    }
    if constexpr (routed) back.dgates = tape.scratch(tokens, capacity);
    if constexpr (closes_by_rows) {
      back.dlogits = gate_.begin_close(tape, step.gates, logits_in(back.ddown));
      if constexpr (!fused) back.router = gate_.only_router(step.gates);
    } else if constexpr (routed) {
      backend.fill(back.dgates, T(0));
    }

    // From dy to the gradients of u and, where gates are of tokens, of their logits; then on to x.
    const auto to_u = [this, &step, &back](B& some, Index first, Index count) {
      this->rows_up(some, step, back, first, count);
    };
    const auto sum_b = [this, &step, &back](B& some, Index first, Index count) {
      this->sum_up(some, step, back, first, count);
    };
    const auto sum_a = [this, &step, &back](B& some, Index first, Index count) {
      this->sum_down(some, step, back, first, count);
    };
    const auto sum_both = [&sum_a, &sum_b](B& some, Index first, Index count) {
      sum_b(some, first, count);
      sum_a(some, first, count);
    };
    RowWork<B> work{std::cref(to_u), std::cref(sum_both), {back.dy, step.x.value()}};
    // All gates are closed before x is reached if they are of tokens and belong together.
    constexpr bool closes_first = routed && per_token && !closes_by_rows;
    if (transformed || closes_first || (closes_by_rows && !fused && back.router.empty())) {
      fused::do_work(backend, {std::cref(to_u), std::cref(sum_b), {back.dy}}, tokens);
      if constexpr (closes_first) {
        back.dlogits = gate_.close(tape, step.gates, back.dgates, logits_in(back.ddown));
      } else if constexpr (closes_by_rows) {
        gate_.sum_rows(backend, step.gates, back.dlogits, 0, tokens);
      }
      if constexpr (routed && per_token && !fused) {
        gate_.to_x(tape, step.gates, step.x, back.dlogits);
      }
      if constexpr (transformed) {
        back.du = transform_.backward(tape, step.gates, step.u, back.du);
      }
      work = {{}, std::cref(sum_a), {step.x.value()}};
    }
    LowRankTerms<T> terms;
    if constexpr (fused) {
      terms[0] = {back.ddown, factors_.down_and_router(), T(1), {}};
    } else {
      terms[0] = {back.du, factors_.down(), T(1), chosen_in_trunk(step.gates)};
      if (!back.router.empty()) terms[1] = {back.dlogits, back.router, T(1), {}};
    }
    gradient_of_x(tape, step, terms, work);
    if constexpr (routed && !per_token) {
      // The gate of a sequence adds to some rows of what is there.
      const auto dlogits = gate_.close(tape, step.gates, back.dgates, {});
      gate_.to_x(tape, step.gates, step.x, dlogits);
    }
  }

  /// u of some tokens, and their gates where these are of tokens; z too, if that is `at_once`.
  void rows_down(B& backend, const Step& step, Index first, Index count) const {
    const MatrixView<const T> x = step.x.value().middle_rows(first, count);
    const auto down = step.down.middle_rows(first, count);
    if constexpr (gates_by_rows && !at_once) {
      gate_.open_rows(backend, step.gates, first, count);
    }
    backend.skinny_dot(x, factors_.down_and_router(), T(1), down, false,
                       chosen_in_trunk(step.gates).from(first));
    if constexpr (at_once) {
      gate_.open_rows(backend, step.gates, first, count, Mixing{step.u, step.z});
    }
  }

  /// z of some tokens.
  void mix_rows(B& backend, const Step& step, Index first, Index count) const {
    for_tokens(backend, step.gates, first, count, Mixing{step.v, step.z});
  }

  /// From dy of some tokens to the gradients of z, u and the gates, and of the logits where that
  /// takes no other tokens.
  void rows_up(B& backend, const Step& step, const Back& back, Index first, Index count) const {
    backend.skinny_dot(back.dy.middle_rows(first, count), factors_.up(), scale_,
                       back.dz.middle_rows(first, count), false,
                       chosen_in_up(step.gates).from(first));
    if constexpr (routed) {
      const Unmixing unmixing{step.v, back.dz, back.du, back.dgates};
      if constexpr (closes_by_rows) {
        gate_.close_rows(backend, step.gates, first, count, back.dgates, back.dlogits, unmixing);
      } else {
        for_tokens(backend, step.gates, first, count, unmixing);
      }
    }
  }

  /// What some tokens add to the gradient of B.
  void sum_up(B& backend, const Step& step, const Back& back, Index first, Index count) const {
    if (back.to_b.view.empty()) return;
    backend.skinny_outer(step.z.middle_rows(first, count), back.dy.middle_rows(first, count),
                         scale_, back.to_b.view, back.to_b.add || first > 0,
                         chosen_in_up(step.gates).from(first));
  }

  /// What some tokens add to the gradients of A and of a router of tokens.
  void sum_down(B& backend, const Step& step, const Back& back, Index first, Index count) const {
    if (!back.to_a.view.empty()) {
      backend.skinny_outer((fused ? back.ddown : back.du).middle_rows(first, count),
                           step.x.value().middle_rows(first, count), T(1), back.to_a.view,
                           back.to_a.add || first > 0, chosen_in_trunk(step.gates).from(first));
    }
    if constexpr (closes_by_rows) {
      if (!back.router.empty()) {
        gate_.sum_rows(backend, step.gates, back.dlogits, first, count);
      }
    }
  }

 private:
  /// Does `work`, and adds the terms that it makes to the gradient of x, and what came through the
  /// base if that is ours.
  static void gradient_of_x(Tape<B>& tape, const Step& step, const LowRankTerms<T>& terms,
                            const RowWork<B>& work) {
    auto& backend = tape.backend();
    if (step.x.needs_grad() && step.base != nullptr) {
      const auto dx = tape.gradient(step.x);
      const MatrixView<const T> dy = step.out.grad();
      fused::frozen_backward(backend, dy, *step.base, dx.view, dx.add, terms, work);
      return;
    }
    fused::do_work(backend, work, step.x.rows());
    if (!step.x.needs_grad()) return;
    const auto dx = tape.gradient(step.x);
    fused::add_terms(backend, terms, dx.view, dx.add);
  }

  static constexpr BranchSet all_branches = first_branches(static_cast<int>(capacity));

  ParameterSet<B>* parameters_;
  std::string name_;
  Hyper hyper_;
  T scale_;
  Gate gate_;
  Transform transform_;
  LowRank<B> factors_;
  BranchSet active_ = 0;
  BranchSet frozen_ = 0;
  Stage stage_ = V::Supervision::stages.front();
  std::vector<double> activity_, last_activity_;
  Index observed_ = 0;
};

}  // namespace branchlora
