/// @file
/// Scores that are a linear function of the layer's input.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/routers.hpp"
#include "branchlora/adapter/gate/scores/linear_of_sequences.hpp"
#include "branchlora/adapter/gate/scores/linear_of_tokens.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/core/numbered.hpp"
#include "branchlora/core/plan.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The scores of `router::Linear`, and of `router::PerTask` around it:
///
///     scores = R x        R of V::gate_rows x d_in; x a token, or what stands for a sequence
///
/// and a bias of the last V::gate_biases scores, `<layer>.router.bias`, which `Weigh` adds;
/// with one R for all tasks, `<layer>.router`, or one a task, `<layer>.router.<t>`. R starts as
/// U(+-1/sqrt(d_in)), as the initialisation says, or as a copy of the R before.
///
/// Where each token is scored by the same R and none waits for its choice, R lies right below A, so
/// that one product makes u and the scores; `Apart` says that it must not.
template <Backend B, class V, bool Apart>
class LinearScores {
 public:
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  using Router = typename Routers<B>::Router;
  static constexpr bool per_token = !V::Granularity::per_sequence;
  /// Whether R lies below A, and its product is the one of A.
  static constexpr bool below_a =
      !Apart && per_token && !V::per_task_router && (V::Trunk::shared || V::dense);

  /// Adds the R of all tasks, unless it lies below A and comes with `adopt`. Those of tasks come
  /// with `begin_task`.
  LinearScores(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Hyper&,
               const Random& random)
      : parameters_(&parameters),
        name_(name),
        d_in_(d_in),
        random_(random),
        routers_(parameters, name, V::per_task_router, V::capacity) {
    if constexpr (!below_a && !V::per_task_router) {
      adopt(parameters.add(name + ".router", V::gate_rows, d_in));
    }
  }

  /// Takes `weight`, V::gate_rows x d_in, as the R of all tasks, and starts it.
  void adopt(Parameter<T>& weight) {
    start(weight);
    routers_.add({&weight, first_branches(V::branches), bias_of(name_ + ".router")});
  }

  void begin_task(Index task, BranchSet allowed) {
    routers_.begin_task(task, allowed, [this](Index t) { return make(t); });
  }
  void restore(std::span<const std::uint64_t> state) {
    routers_.restore(state, [this](Index t) { return make(t); });
  }
  Routers<B>& routers() { return routers_; }
  const Routers<B>& routers() const { return routers_; }
  bool trains() const { return routers_.trains(); }

  /// Memory for the scores of a batch: `below` where R lies below A. Throws `Error` if a task has
  /// no router.
  void open(Tape<B>& tape, Var<T> x, Pass& g, MatrixView<T> below) const {
    routers_.for_runs(*g.sequences, g.tasks, [](const Router&, Index, Index) {});
    const Index units = per_token ? x.rows() : g.sequences->count();
    g.inputs = per_token ? x.value() : tape.scratch(units, x.cols());
    g.logits = below_a ? below : tape.scratch(units, V::gate_rows);
  }

  /// The scores of `n` tokens from `first` on, which share a router.
  void score(B& backend, const Pass& g, const Router& router, Index first, Index n) const {
    if (below_a || g.silent) return;
    backend.skinny_dot(g.inputs.middle_rows(first, n), router.weight->value, T(1),
                       g.logits.middle_rows(first, n), false, Chosen{});
  }

  /// The body that reads sequence s and scores it, with a team for each sequence.
  auto scorer(Tape<B>& tape, MatrixView<const T> x, const Pass& g) const {
    return typename sequences::Score{x, g, gate::routers_of_sequences(tape, routers_, g)};
  }

  /// Adds the steps from the gradient of the logits of tokens to that of R and, unless A's product
  /// makes it, of x: dR += dlogits^T x, dx += dlogits R. With one R, dx is a term of the frozen
  /// product (`d.router`). `of_batch` says that the gradients of the logits need a barrier.
  void backward(Plan<B>& plan, Tape<B>& tape, Var<T> x, const Pass& g, GateGradients<T>& d,
                bool of_batch) const {
    if constexpr (!below_a) {
      if (!of_batch) d.router = tokens::only_router(routers_, g);
      if (!d.router.empty()) {
        plan.sum({}, [this, &g, &d](B& backend, Index first, Index count) {
          tokens::sum(backend, routers_, g, d.logits, first, count);
        });
      } else {
        plan.batch([this, &tape, x, &g, &d] {
          tokens::sum(tape.backend(), routers_, g, d.logits, 0, d.logits.rows);
          tokens::to_x(tape, routers_, g, x, d.logits);
        });
      }
    }
  }

  /// The same for sequences, done in this call: R adds to a gradient of x that is there already.
  void backward(Tape<B>& tape, Var<T> x, const Pass& g, GateGradients<T>& d) const {
    if (!g.silent) sequences::backward(tape, routers_, g, x, d.logits);
  }

  /// Adds the sum over units of the last scores' gradients to that of their biases, when all are
  /// there.
  void sum_biases(Tape<B>& tape, const Pass& g, MatrixView<const T> dlogits) const {
    constexpr Index n = V::gate_biases;
    gate::for_unit_runs<V>(
        routers_, g, 0, dlogits.rows, [&](const Router& router, Index first, Index count) {
          if (!router.bias->trainable) return;
          gate::sum_rows(tape.backend(),
                         dlogits.middle_rows(first, count).middle_cols(V::gate_rows - n, n),
                         *router.bias);
        });
  }

 private:
  using tokens = gate::LinearOfTokens<B, V>;
  using sequences = gate::LinearOfSequences<B, V>;

  Router make(Index task) {
    const std::string name = numbered(name_ + ".router", task);
    auto& weight = parameters_->add(name, V::gate_rows, d_in_);
    start(weight);
    return {&weight, 0, bias_of(name)};
  }

  /// The trained bias of the router `name`, if V has any.
  Parameter<T>* bias_of(const std::string& name) {
    if constexpr (V::gate_biases > 0) {
      auto& bias = parameters_->add(name + ".bias", 1, V::gate_biases);
      nn::fill_uniform(*parameters_, bias, random_, 1.0 / std::sqrt(static_cast<double>(d_in_)));
      if (V::RouterStart::copies && routers_.count() > 0) {
        parameters_->backend().copy(routers_.of(routers_.count() - 1).bias->value, bias.value);
      }
      parameters_->set_trainable(bias, true);
      return &bias;
    }
    return nullptr;
  }

  void start(Parameter<T>& weight) {
    if constexpr (requires { V::Init::draw_router(random_, std::uint64_t{0}, d_in_); }) {
      nn::fill(*parameters_, weight, random_, [d_in = d_in_](const Random& r, std::size_t i) {
        return V::Init::draw_router(r, i, d_in);
      });
    } else {
      nn::fill_uniform(*parameters_, weight, random_, 1.0 / std::sqrt(static_cast<double>(d_in_)));
    }
    if (V::RouterStart::copies && routers_.count() > 0) {
      parameters_->backend().copy(routers_.of(routers_.count() - 1).weight->value, weight.value);
    }
    parameters_->set_trainable(weight, true);
  }

  ParameterSet<B>* parameters_;
  std::string name_;
  Index d_in_;
  Random random_;
  Routers<B> routers_;
};

}  // namespace branchlora
