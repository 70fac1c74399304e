/// @file
/// The engine: one adapter on one linear layer, whatever its policies.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/adapter.hpp"
#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/adapter/gate.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/mix/branch_mix.hpp"
#include "branchlora/adapter/routing.hpp"
#include "branchlora/autograd/op/dropout.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// One adapter of variant `V` beside a frozen linear layer of d_in inputs and d_out outputs:
///
///     u = A x           down: A has V::a_rows rows (one block of `rank` rows a branch, or one
///                       shared trunk)
///     g = gate(R x)     one row of R a branch; a token, or a sequence, at a time
///     z = mix(u, g)     V::b_rows scalars a token, zero for branches that were not chosen
///     y += s B z
///
/// with the policies deciding every step. B is stored transposed, b_rows x d_out, so that every factor has few long rows and the three
/// skinny products of the backend serve both directions.
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
  /// Whether router and trunk are one matrix, so that one product serves both.
  static constexpr bool fused =
      routed && per_token && !V::per_task_router && (shared || !sparse);
  using Mix = mix::BranchMix<shared, rank, top_k>;

  /// Adds the adapter's parameters under `name`, initialised from `random` (B is zero) and
  /// trainable. Per-task routers come with `begin_task`.
  AdapterLayer(ParameterSet<B>& parameters, const std::string& name, Index d_in, Index d_out,
               const Hyper& hyper, const Random& random)
      : parameters_(&parameters), name_(name), hyper_(hyper), random_(random) {
    using Entry = typename ParameterSet<B>::Entry;
    scale_ = static_cast<T>(V::scale(hyper));
    std::vector<Entry> rows;
    if constexpr (shared) {
      rows.push_back({name + ".lora_A", rank});
    } else {
      for (Index i = 0; i < capacity; ++i) rows.push_back({branch_name(".lora_A", i), rank});
    }
    if constexpr (fused) rows.push_back({name + ".router", capacity});
    a_ = parameters.add_stack(rows, d_in);
    if constexpr (fused) {
      routers_.push_back({a_.back(), first_branches(V::branches)});
      a_.pop_back();
    } else if constexpr (routed && !V::per_task_router) {
      routers_.push_back(
          {&parameters.add(name + ".router", capacity, d_in), first_branches(V::branches)});
    }
    rows.clear();
    for (Index i = 0; i < capacity; ++i) rows.push_back({branch_name(".lora_B", i), rank});
    b_ = parameters.add_stack(rows, d_out);
    for (Parameter<T>* p : a_) {
      nn::fill(parameters, *p, random, [=](const Random& r, std::size_t i) {
        return V::Init::draw(r, i, d_in);
      });
      parameters.set_trainable(*p, true);
    }
    for (Router& r : routers_) start_router(r);
    activity_.assign(static_cast<std::size_t>(capacity), 0.0);
    last_activity_ = activity_;
    set_branches(first_branches(V::branches), 0);
  }

  /// y + s B mix(A x): adds to the memory of `y`, which must have no other reader.
  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const Routing& routing) override {
    expect_shape(y.value(), x.rows(), b_.front()->value.cols, name_.c_str());
    if (hyper_.dropout > 0 && routing.dropout != nullptr) {
      x = op::dropout(tape, x, hyper_.dropout, routing.dropout->fork(name_));
    }
    Step step{this, x, y, {}, {}, {}, {}};
    auto& backend = tape.backend();
    const MatrixView<const T> xv = x.value();
    const auto down = tape.scratch(x.rows(), V::a_rows + (fused ? capacity : 0));
    step.u = down.middle_cols(0, V::a_rows);
    if constexpr (!routed) {
      backend.skinny_dot(xv, trunk(), T(1), step.u, false, Chosen{});
      step.z = step.u;
    } else {
      step.z = tape.scratch(x.rows(), V::b_rows);
      if constexpr (fused) {
        backend.skinny_dot(xv, trunk_and_router(), T(1), down, false, Chosen{});
        step.gates = open_gates(tape, x, routing, down.middle_cols(V::a_rows, capacity));
      } else {
        step.gates = open_gates(tape, x, routing, {});
        backend.skinny_dot(xv, trunk(), T(1), step.u, false, chosen_in_trunk(step.gates));
      }
      backend.for_each(x.rows(), [u = step.u, z = step.z, g = step.gates](Index t) {
        Mix::forward(u.row(t), g.weights.row(g.unit(t)), g.chosen_of(t), z.row(t));
      });
    }
    backend.skinny_axpy(step.z, up(), scale_, y.value(), true, chosen_in_up(step.gates));
    bool trained = x.needs_grad();
    if (tape.recording()) {
      trained = trained || any_trainable(a_) || any_trainable(b_);
    }
    step.out = tape.view(y.value(), y);
    step.out.node()->needs_grad = tape.recording() && (trained || y.needs_grad());
    tape.record(step.out, step);
    return step.out;
  }

  /// Starts task `task` (0, 1, ...). If no branch is left to train, the policy for exhausted
  /// branches acts first. Where routers are per task, a new one is made, which may choose what the
  /// reach policy allows now; a single router may choose every active branch.
  void begin_task(Index task) override {
    if (tunable() == 0) {
      set_branches(first_branches(std::min(std::popcount(active_) + static_cast<int>(top_k),
                                           static_cast<int>(capacity))),
                   frozen_ & ~V::Exhausted::thaw(last_activity_, frozen_, static_cast<int>(top_k)));
    }
    if constexpr (V::per_task_router) {
      expect(task == routers(), "{}: expected task {} to begin, found {}", name_, routers(), task);
      BranchSet allowed = V::Reach::allowed(tunable(), frozen_);
      if (allowed == 0) allowed = active_;
      add_router(allowed);
    } else if constexpr (routed) {
      routers_.front().allowed = active_;
    }
  }

  /// Ends a task: its router, where routers are per task, never changes again, nor do the branches
  /// that the freezing policy names, given how active each was in what was observed since the last
  /// call.
  void end_task() override {
    if constexpr (V::per_task_router) {
      if (!routers_.empty()) parameters_->set_trainable(*routers_.back().weight, false);
    }
    if constexpr (routed) {
      last_activity_ = activity();
      set_branches(active_, frozen_ | V::Freezing::choose(last_activity_, tunable()));
      activity_.assign(activity_.size(), 0.0);
      observed_ = 0;
    }
  }

  /// W += s B^T A: what the adapter does, added to the weight that it stands beside. Throws `Error`
  /// if the variant has a router, because a gate depends on the input.
  void merge_into(MatrixView<T> weight) const override {
    if constexpr (routed) {
      fail("{}: only an adapter without a router can be merged, since a gate depends on the input; "
           "found {}",
           name_, V::describe());
    } else {
      parameters_->backend().gemm(Op::transpose, Op::none, scale_, up(), trunk(), T(1), weight);
    }
  }

  /// The branches in use.
  BranchSet active() const override { return active_; }
  /// The branches whose B never changes again, unless the policy for exhausted branches thaws it.
  BranchSet frozen() const override { return frozen_; }
  /// The branches whose B trains.
  BranchSet tunable() const { return active_ & ~frozen_; }
  /// The branches that the router of `task` (or the only one) may choose.
  BranchSet allowed(Index task = 0) const {
    return routers_[static_cast<std::size_t>(task)].allowed;
  }
  /// How many routers there are.
  Index routers() const { return std::ssize(routers_); }
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
    for (const Router& r : routers_) s.push_back(r.allowed);
    return s;
  }

  /// Restores what `state` gave at the end of a task; routers of finished tasks are created, their
  /// weights to be loaded.
  void restore(std::span<const std::uint64_t> s) override {
    constexpr std::size_t fixed = 2 + static_cast<std::size_t>(capacity);
    expect(s.size() >= fixed, "{}: the saved state has {} numbers, expected at least {}", name_,
           s.size(), fixed);
    set_branches(s[0], s[1]);
    for (std::size_t i = 2; i < fixed; ++i) last_activity_[i - 2] = std::bit_cast<double>(s[i]);
    for (std::size_t i = fixed; i < s.size(); ++i) {
      if (i - fixed < routers_.size()) {
        routers_[i - fixed].allowed = s[i];
      } else {
        add_router(s[i]);
      }
      if constexpr (V::per_task_router) {
        parameters_->set_trainable(*routers_[i - fixed].weight, false);
      }
    }
  }

 private:
  struct Router {
    Parameter<T>* weight;
    BranchSet allowed;
  };

  /// The gates of a batch, one row a unit: a token, or a sequence.
  struct Gates {
    MatrixView<T> inputs;               ///< What the router read: units x d_in.
    MatrixView<T> logits, saved, weights;  ///< Units x capacity.
    std::int32_t* chosen = nullptr;        ///< Tokens x top_k.
    const std::int32_t* unit_of = nullptr;  ///< The unit of each token; null: itself.
    const Sequences* sequences = nullptr;
    std::span<const std::int32_t> tasks;

    BRANCHLORA_HD Index unit(Index token) const {
      return unit_of == nullptr ? token : Index{unit_of[token]};
    }
    BRANCHLORA_HD const std::int32_t* chosen_of(Index token) const {
      return chosen + token * top_k;
    }
  };

  /// What the way back needs.
  struct Step {
    AdapterLayer* layer;
    Var<T> x, y, out;
    MatrixView<T> u, z;
    Gates gates;

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  std::string branch_name(const char* factor, Index branch) const {
    return capacity == 1 ? name_ + factor : name_ + factor + "." + std::to_string(branch);
  }

  MatrixView<T> trunk() const {
    const MatrixView<T> first = a_.front()->value;
    return {first.data, V::a_rows, first.cols};
  }
  MatrixView<T> trunk_and_router() const {
    const MatrixView<T> first = a_.front()->value;
    return {first.data, V::a_rows + capacity, first.cols};
  }
  MatrixView<T> up() const {
    const MatrixView<T> first = b_.front()->value;
    return {first.data, V::b_rows, first.cols};
  }

  Chosen chosen_in_trunk(const Gates& g) const {
    if constexpr (routed && sparse && !shared) return Chosen{g.chosen, top_k, rank};
    return {};
  }
  Chosen chosen_in_up(const Gates& g) const {
    if constexpr (routed && sparse) return Chosen{g.chosen, top_k, rank};
    return {};
  }

  void add_router(BranchSet allowed) {
    routers_.push_back({&parameters_->add(name_ + ".router." + std::to_string(routers_.size()),
                                          capacity, a_.front()->value.cols),
                        allowed});
    start_router(routers_.back());
  }

  /// U(-1 / sqrt(d_in), 1 / sqrt(d_in)), or a copy of the router before.
  void start_router(Router& router) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(router.weight->value.cols));
    nn::fill_uniform(*parameters_, *router.weight, random_, bound);
    if (V::RouterStart::copies && routers_.size() > 1) {
      parameters_->backend().copy(routers_[routers_.size() - 2].weight->value,
                                  router.weight->value);
    }
    parameters_->set_trainable(*router.weight, true);
  }

  void set_branches(BranchSet active, BranchSet frozen) {
    active_ = active;
    frozen_ = frozen;
    for (Index i = 0; i < capacity; ++i) {
      parameters_->set_trainable(*b_[static_cast<std::size_t>(i)], gate::has(tunable(), i));
    }
  }

  /// Calls f(router, first unit, count) for each run of units with one router.
  template <class F>
  void for_runs(const Gates& g, F f) const {
    if constexpr (!V::per_task_router) {
      f(routers_.front(), Index{0}, g.logits.rows);
    } else {
      const Sequences& sequences = *g.sequences;
      for (Index s = 0; s < sequences.count();) {
        const std::int32_t task = g.tasks[static_cast<std::size_t>(s)];
        Index end = s + 1;
        while (end < sequences.count() && g.tasks[static_cast<std::size_t>(end)] == task) ++end;
        expect(task >= 0 && task < std::ssize(routers_),
               "{}: a sequence asks for the router of task {}, of {} that were begun", name_, task,
               routers_.size());
        const auto offset = [&](Index i) {
          return per_token ? sequences.offsets[static_cast<std::size_t>(i)] : i;
        };
        f(routers_[static_cast<std::size_t>(task)], offset(s), offset(end) - offset(s));
        s = end;
      }
    }
  }

  Gates open_gates(Tape<B>& tape, Var<T> x, const Routing& routing, MatrixView<T> logits) {
    expect(routing.sequences != nullptr, "{}: a routed adapter needs to know the sequences", name_);
    expect(routing.sequences->tokens() == x.rows(), "{}: sequences of {} tokens, found {}", name_,
           routing.sequences->tokens(), x.rows());
    auto& backend = tape.backend();
    Gates g;
    g.sequences = routing.sequences;
    g.tasks = routing.tasks;
    g.chosen = tape.template array<std::int32_t>(x.rows() * top_k);
    if constexpr (V::per_task_router) {
      expect(std::ssize(routing.tasks) == routing.sequences->count(),
             "{}: expected a task for each of {} sequences, found {}", name_,
             routing.sequences->count(), routing.tasks.size());
    }
    if constexpr (per_token) {
      g.inputs = x.value();
    } else {
      if (routing.memory == Routing::Memory::reuse) return recall(tape, x, g);
      g.unit_of = units_of_tokens(tape, *routing.sequences);
      g.inputs = tape.scratch(routing.sequences->count(), x.cols());
      summarise(backend, *routing.sequences, tape, x.value(), g.inputs);
    }
    const Index units = g.inputs.rows;
    g.logits = logits.empty() ? tape.scratch(units, capacity) : logits;
    g.saved = tape.scratch(units, capacity);
    g.weights = tape.scratch(units, capacity);
    auto* unit_chosen =
        per_token ? g.chosen : tape.template array<std::int32_t>(units * top_k);
    for_runs(g, [&](const Router& router, Index first, Index count) {
      const auto rows = g.logits.middle_rows(first, count);
      if constexpr (!fused) {
        backend.skinny_dot(g.inputs.middle_rows(first, count), router.weight->value, T(1), rows,
                           false, Chosen{});
      }
      backend.for_each(count, [=, saved = g.saved, weights = g.weights,
                               allowed = router.allowed](Index i) {
        V::Gating::template forward<capacity, top_k>(rows.row(i), allowed, saved.row(first + i),
                                                     weights.row(first + i),
                                                     unit_chosen + (first + i) * top_k);
      });
    });
    if constexpr (!per_token) {
      spread(backend, x.rows(), unit_chosen, g);
      if (routing.memory == Routing::Memory::remember) remember(backend, units, unit_chosen, g);
    }
    if (routing.observe) observe(backend, g);
    return g;
  }

  std::int32_t* units_of_tokens(Tape<B>& tape, const Sequences& sequences) const {
    auto* unit_of = tape.template array<std::int32_t>(sequences.tokens());
    thread_local std::vector<std::int32_t> host;
    host.clear();
    for (Index s = 0; s < sequences.count(); ++s) {
      host.resize(static_cast<std::size_t>(sequences.offsets[static_cast<std::size_t>(s) + 1]),
                  static_cast<std::int32_t>(s));
    }
    tape.backend().upload(unit_of, host.data(), host.size() * sizeof(std::int32_t));
    return unit_of;
  }

  static void spread(B& backend, Index tokens, const std::int32_t* unit_chosen, const Gates& g) {
    backend.for_each(tokens, [=](Index t) {
      for (Index k = 0; k < top_k; ++k) {
        g.chosen[t * top_k + k] = unit_chosen[g.unit(t) * top_k + k];
      }
    });
  }

  /// The router's input for each sequence: its first token, or the mean of its tokens.
  static void summarise(B& backend, const Sequences& sequences, Tape<B>& tape,
                        MatrixView<const T> x, MatrixView<T> inputs) {
    const Index* offsets = tape.upload(std::span<const Index>(sequences.offsets));
    backend.for_rows(inputs.rows, [=](auto team, Index s) {
      const Index first = offsets[s];
      const Index count = V::Granularity::tokens(offsets[s + 1] - first);
      T* to = inputs.row(s);
      team.loop(x.cols, [=](Index c) { to[c] = T(0); });
      const T weight = T(1) / static_cast<T>(count);
      for (Index i = 0; i < count; ++i) {
        const T* from = x.row(first + i);
        team.loop(x.cols, [=](Index c) { to[c] += weight * from[c]; });
      }
    });
  }

  void remember(B& backend, Index units, const std::int32_t* unit_chosen, const Gates& g) {
    kept_weights_.resize(static_cast<std::size_t>(units * capacity));
    kept_chosen_.resize(static_cast<std::size_t>(units * top_k));
    backend.download(kept_weights_.data(), g.weights.data, kept_weights_.size() * sizeof(T));
    backend.download(kept_chosen_.data(), unit_chosen,
                     kept_chosen_.size() * sizeof(std::int32_t));
  }

  Gates recall(Tape<B>& tape, Var<T> x, Gates g) {
    expect(!tape.recording(), "{}: gates that were kept can not be trained", name_);
    expect(std::ssize(kept_chosen_) == x.rows() * top_k,
           "{}: decoding {} sequences, but the gates of {} were kept", name_, x.rows(),
           std::ssize(kept_chosen_) / top_k);
    g.weights = tape.scratch(x.rows(), capacity);
    tape.backend().upload(g.weights.data, kept_weights_.data(), kept_weights_.size() * sizeof(T));
    tape.backend().upload(g.chosen, kept_chosen_.data(),
                          kept_chosen_.size() * sizeof(std::int32_t));
    return g;
  }

  void observe(B& backend, const Gates& g) {
    for (Index b = 0; b < capacity; ++b) {
      activity_[static_cast<std::size_t>(b)] += backend.sum(g.weights.rows, [=](Index i) {
        return V::Freezing::Activity::of(static_cast<double>(g.weights(i, b)));
      });
    }
    observed_ += g.weights.rows;
  }

  void backward(Tape<B>& tape, const Step& step) {
    auto& backend = tape.backend();
    tape.share_gradient(step.out, step.y);
    const MatrixView<const T> dy = step.out.grad();
    const Index tokens = dy.rows;
    const Gates& g = step.gates;
    const auto dz = tape.scratch(tokens, V::b_rows);
    backend.skinny_dot(dy, up(), scale_, dz, false, chosen_in_up(g));
    if (any_trainable(b_)) {
      const auto sink = stack_gradient(b_, V::b_rows);
      backend.skinny_outer(step.z, dy, scale_, sink.view, sink.add, chosen_in_up(g));
    }
    const auto ddown = tape.scratch(tokens, V::a_rows + (fused ? capacity : 0));
    const auto du = routed ? ddown.middle_cols(0, V::a_rows) : dz;
    [[maybe_unused]] MatrixView<T> dlogits;
    if constexpr (routed) {
      const auto dgates = tape.scratch(tokens, capacity);
      backend.fill(dgates, T(0));
      backend.for_each(tokens, [=, u = step.u](Index t) {
        Mix::backward(u.row(t), g.weights.row(g.unit(t)), g.chosen_of(t), dz.row(t), du.row(t),
                      dgates.row(t));
      });
      dlogits = close_gates(tape, step, dgates, ddown);
      // A gate of every token writes all of dx; that of a sequence adds to some rows.
      if constexpr (!fused && per_token) router_to_x(tape, step, dlogits);
    }
    if constexpr (fused) {
      if (any_trainable(a_)) {
        const auto sink = stack_gradient(a_, V::a_rows + capacity);
        routers_.front().weight->has_grad = true;
        backend.skinny_outer(ddown, step.x.value(), T(1), sink.view, sink.add, Chosen{});
      }
      if (step.x.needs_grad()) {
        const auto dx = tape.gradient(step.x);
        backend.skinny_axpy(ddown, trunk_and_router(), T(1), dx.view, dx.add, Chosen{});
      }
    } else {
      if (any_trainable(a_)) {
        const auto sink = stack_gradient(a_, V::a_rows);
        backend.skinny_outer(du, step.x.value(), T(1), sink.view, sink.add, chosen_in_trunk(g));
      }
      if (step.x.needs_grad()) {
        const auto dx = tape.gradient(step.x);
        backend.skinny_axpy(du, trunk(), T(1), dx.view, dx.add, chosen_in_trunk(g));
      }
      if constexpr (routed && !per_token) router_to_x(tape, step, dlogits);
    }
  }

  /// From the gradient of every token's gates to that of the logits and of the routers.
  MatrixView<T> close_gates(Tape<B>& tape, const Step& step, MatrixView<T> dgates,
                            MatrixView<T> ddown) {
    auto& backend = tape.backend();
    const Gates& g = step.gates;
    const Index units = g.logits.rows;
    MatrixView<T> dweights = dgates;
    std::int32_t* unit_chosen = g.chosen;
    const Index* offsets = nullptr;
    if constexpr (!per_token) {
      dweights = tape.scratch(units, capacity);
      unit_chosen = tape.template array<std::int32_t>(units * top_k);
      offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
      backend.for_each(units, [=](Index s) {
        for (Index b = 0; b < capacity; ++b) {
          T sum = 0;
          for (Index t = offsets[s]; t < offsets[s + 1]; ++t) sum += dgates(t, b);
          dweights(s, b) = sum;
        }
        for (Index k = 0; k < top_k; ++k) {
          unit_chosen[s * top_k + k] = g.chosen[offsets[s] * top_k + k];
        }
      });
    }
    const auto dlogits = fused ? ddown.middle_cols(V::a_rows, capacity)
                               : tape.scratch(units, capacity);
    backend.for_each(units, [=](Index i) {
      V::Gating::template backward<capacity, top_k>(g.saved.row(i), g.weights.row(i),
                                                    unit_chosen + i * top_k, dweights.row(i),
                                                    dlogits.row(i));
    });
    if constexpr (V::Balance::enabled) add_balance_gradient(tape, g, unit_chosen, dlogits);
    if constexpr (!fused) {
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
  void router_to_x(Tape<B>& tape, const Step& step, MatrixView<T> dlogits) {
    if (!step.x.needs_grad()) return;
    auto& backend = tape.backend();
    const auto dx = tape.gradient(step.x);
    const auto product = [&](MatrixView<T> to, bool add) {
      for_runs(step.gates, [&](const Router& router, Index first, Index count) {
        backend.skinny_axpy(dlogits.middle_rows(first, count), router.weight->value, T(1),
                            to.middle_rows(first, count), add, Chosen{});
      });
    };
    if constexpr (per_token) {
      product(dx.view, dx.add);
    } else {
      const auto dinputs = tape.scratch(dlogits.rows, step.x.cols());
      product(dinputs, false);
      const Index* offsets = tape.upload(std::span<const Index>(step.gates.sequences->offsets));
      backend.for_rows(dlogits.rows, [=](auto team, Index s) {
        const Index count = V::Granularity::tokens(offsets[s + 1] - offsets[s]);
        const T weight = T(1) / static_cast<T>(count);
        const T* from = dinputs.row(s);
        for (Index i = 0; i < count; ++i) {
          T* to = dx.view.row(offsets[s] + i);
          team.loop(dinputs.cols, [=](Index c) { to[c] += weight * from[c]; });
        }
      });
    }
  }

  /// The gradient of balance_weight * sum_i slope(f_i) P_i, where P is the mean of the softmax over
  /// the allowed branches and f the share of the choices, which counts as given.
  void add_balance_gradient(Tape<B>& tape, const Gates& g, const std::int32_t* unit_chosen,
                            MatrixView<T> dlogits) {
    auto& backend = tape.backend();
    const Index units = g.logits.rows;
    T* slopes = tape.template array<T>(capacity);
    std::array<T, capacity> host{};
    for (Index b = 0; b < capacity; ++b) {
      const double load =
          backend.sum(units * top_k, [=](Index i) { return unit_chosen[i] == b ? 1.0 : 0.0; });
      host[static_cast<std::size_t>(b)] = static_cast<T>(
          static_cast<double>(tape.loss_scale()) * hyper_.balance_weight *
          V::Balance::slope(load / static_cast<double>(units * top_k), static_cast<int>(capacity)) /
          static_cast<double>(units));
    }
    backend.upload(slopes, host.data(), sizeof(host));
    for_runs(g, [&](const Router& router, Index first, Index count) {
      backend.for_each(count, [=, allowed = router.allowed](Index i) {
        T p[capacity];
        gate::softmax<capacity>(g.logits.row(first + i), allowed, p);
        T dot = 0;
        for (Index b = 0; b < capacity; ++b) dot += p[b] * slopes[b];
        T* d = dlogits.row(first + i);
        for (Index b = 0; b < capacity; ++b) d[b] += p[b] * (slopes[b] - dot);
      });
    });
  }

  static bool any_trainable(const std::vector<Parameter<T>*>& stack) {
    for (const Parameter<T>* p : stack) {
      if (p->trainable) return true;
    }
    return false;
  }

  /// The gradient of a stack of parameters as one matrix of `rows` rows.
  static GradientSink<T> stack_gradient(const std::vector<Parameter<T>*>& stack, Index rows) {
    const bool add = stack.front()->has_grad;
    for (Parameter<T>* p : stack) p->has_grad = true;
    const MatrixView<T> first = stack.front()->grad;
    return {{first.data, rows, first.cols}, add};
  }

  ParameterSet<B>* parameters_;
  std::string name_;
  Hyper hyper_;
  Random random_;
  T scale_;
  std::vector<Parameter<T>*> a_, b_;
  std::vector<Router> routers_;
  BranchSet active_ = 0;
  BranchSet frozen_ = 0;
  std::vector<double> activity_, last_activity_;
  Index observed_ = 0;
  std::vector<T> kept_weights_;
  std::vector<std::int32_t> kept_chosen_;
};

}  // namespace branchlora
