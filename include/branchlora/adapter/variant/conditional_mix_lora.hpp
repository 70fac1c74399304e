/// @file
/// Conditional MixLoRA: Shen et al., "Multimodal Instruction Tuning with Conditional Mixture of
/// LoRA", ACL 2024 (arXiv 2402.15896).
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "branchlora/adapter/cost.hpp"
#include "branchlora/adapter/gate/factor_gate.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/plain_adapter.hpp"
#include "branchlora/adapter/policy/init.hpp"

namespace branchlora {

/// How factors of B are chosen.
enum class FactorChoice : std::uint8_t {
  independent,  ///< By the input alone.
  conditional,  ///< By the input and the factors of A that were chosen.
};

template <Backend B, class V>
class MixedFactorsLayer;

/// y = W x + s sum over r < R of b_{I_B[r]} (a_{I_A[r]} . x), with pools of E factors a_e of d_in
/// and b_e of d_out, s = alpha / R. Once for each sequence, with h the mean of the layer's inputs:
///
///     I_A = the R largest of W_A h
///     I_B = the R largest of W_B h                                           (independent)
///         = the R largest of softmax(W_B h)
///             + softmax(sum over r of softmax(W_r a_{I_A[r]}))               (conditional)
///
/// both in order of score, ties to the lower index. W_A, W_B and W_r are E x d_in. a and the
/// routers start uniform in +-1/sqrt(d_in), b at zero.
///
/// As in the authors' code: the chosen factors are not weighted, so that the routers receive no
/// gradient and stay the random projections that they start as; they are frozen here and not
/// counted as trainable (the paper counts 2 E d_in, and E R d_in for W_r). The outer softmax is the
/// code's; the paper has the plain sum. `Scored` gives pair r the weight p_{I_A[r]} q_{I_B[r]}, the
/// scores by which its factors were chosen, through which the routers learn. How scores are to
/// weigh is our reading: in units of the mean score, so that equal scores are the form without
/// weights.
///
/// Other differences: a batch has no padding here, so that none enters the mean; and the tokens of
/// an answer keep the choice of their prompt, where the released code routes each new token by
/// itself. The routers read the input before dropout.
template <int E, int R, FactorChoice Choice = FactorChoice::conditional, bool Scored = false>
struct ConditionalMixLora : PlainVariant {
  static_assert(R >= 1, "The R of ConditionalMixLora<E, R> must be at least 1.");
  static_assert(R <= E, "ConditionalMixLora<E, R> cannot choose more factors than its pools have.");
  static_assert(E <= max_branches, "ConditionalMixLora<E, R> can have at most 64 factors a pool.");
  static constexpr int pool = E;
  static constexpr int rank = R;
  static constexpr bool conditional = Choice == FactorChoice::conditional;
  static constexpr bool scored = Scored;
  /// Rows of all routers, of d_in columns.
  static constexpr int router_rows = 2 * E + (conditional ? E * R : 0);

  template <Backend B>
  using Layer = MixedFactorsLayer<B, ConditionalMixLora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }
  /// Trainable parameters beside a linear.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return {E * d_in, E * d_out, Scored ? router_rows * d_in : 0};
  }
  /// Operations beside a linear: the chosen factors for each token, W_A and W_B for each sequence,
  /// and what all a's say of B.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    const std::int64_t factors = 2 * tokens * R * (d_in + d_out);
    const std::int64_t routers =
        2 * d_in * (sequences * 2 * E + (conditional ? std::int64_t{E} * E * R : 0));
    const std::int64_t frozen = 2 * tokens * d_in * d_out;
    return {{factors + routers, 2 * factors + (Scored ? 2 * routers : 0)}, {frozen, frozen}};
  }
  /// Bytes of AdamW training beside a linear.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return adamw_bytes * parameters(d_in, d_out).total();
  }
  static std::string describe() {
    return fmt::format("ConditionalMixLora<{}, {}, FactorChoice::{}, {}>", E, R,
                       conditional ? "conditional" : "independent", Scored);
  }
  bool operator==(const ConditionalMixLora&) const = default;
};

/// The form whose chosen factors are weighted by their scores, so that its routers learn.
template <int E, int R, FactorChoice Choice = FactorChoice::conditional>
using ScoredMixLora = ConditionalMixLora<E, R, Choice, true>;

/// The authors' settings, alpha = 2 E.
template <int E>
inline constexpr Hyper conditional_mix_lora_hyper{.alpha = 2.0 * E, .dropout = 0.05};

/// The adapter of `ConditionalMixLora`.
template <Backend B, class V>
class MixedFactorsLayer final : public PlainAdapter<B> {
 public:
  using T = typename B::Scalar;
  static constexpr Index rank = V::rank;
  using Gate = FactorGate<B, V>;
  using Factors = typename Gate::Factors;

  /// `weight` is the frozen linear's, of which the shape is asked.
  MixedFactorsLayer(ParameterSet<B>& parameters, const std::string& name,
                    MatrixView<const T> weight, const Hyper& hyper, const Random& random)
      : PlainAdapter<B>(name),
        dropout_(hyper.dropout),
        scale_(static_cast<T>(V::scale(hyper))),
        a_(&parameters.add(name + ".lora_A", V::pool, weight.cols)),
        b_(&parameters.add(name + ".lora_B", V::pool, weight.rows)),
        gate_(parameters, name, weight.cols, random) {
    nn::fill(parameters, *a_, random, [d_in = weight.cols](const Random& r, std::size_t i) {
      return init::KaimingUniform::draw(r, i, d_in);
    });
    parameters.set_trainable(*a_, true);
    parameters.set_trainable(*b_, true);
  }

  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const Routing& routing) override {
    const std::string& name = this->name();
    expect_shape(y.value(), x.rows(), b_->value.cols, name.c_str());
    expect_sequences(routing, x.rows(), name);
    Step step{this, x, x, y, {}, {}, {}, gate_.open(tape, x, routing, a_->value)};
    step.dropped = input_dropout(tape, x, dropout_, routing, name);
    auto& backend = tape.backend();
    step.u = tape.scratch(x.rows(), V::pool);
    step.z = tape.scratch(x.rows(), V::pool);
    backend.skinny_dot(step.dropped.value(), a_->value, T(1), step.u, false, of_a(step.factors));
    mix(backend, step);
    backend.skinny_axpy(step.z, b_->value, scale_, y.value(), true, of_b(step.factors));
    step.out = tape.view(y.value(), y);
    step.out.node()->needs_grad =
        tape.recording() && (x.needs_grad() || y.needs_grad() || a_->trainable || b_->trainable);
    tape.record(step.out, step);
    return step.out;
  }

  bool needs_every_token() const override { return true; }

  /// What the way back needs. `dropped` is x after dropout.
  struct Step {
    MixedFactorsLayer* layer;
    Var<T> x, dropped, y, out;
    MatrixView<T> u, z;
    Factors factors;

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  // Public since nvcc takes bodies from public functions only.

  /// z = the weighted u, from A's factors to their partners of B. Other columns are not read.
  static void mix(B& backend, const Step& step) {
    backend.for_each(
        step.u.rows, [u = step.u, z = step.z, f = step.factors] BRANCHLORA_BODY(Index t) {
          for (Index r = 0; r < rank; ++r) {
            z(t, f.b.chosen_of(t)[r]) = f.a.weights(f.a.unit(t), r) * u(t, f.a.chosen_of(t)[r]);
          }
        });
  }

  void backward(Tape<B>& tape, const Step& step) {
    auto& backend = tape.backend();
    tape.share_gradient(step.out, step.y);
    const MatrixView<const T> dy = step.out.grad();
    const auto dz = tape.scratch(dy.rows, V::pool);
    const auto du = tape.scratch(dy.rows, V::pool);
    const auto dweights = tape.scratch(dy.rows, rank);
    backend.skinny_dot(dy, b_->value, scale_, dz, false, of_b(step.factors));
    if (b_->trainable) {
      const bool add = std::exchange(b_->has_grad, true);
      backend.skinny_outer(step.z, dy, scale_, b_->grad, add, of_b(step.factors));
    }
    backend.for_each(dy.rows, [=, u = step.u, f = step.factors] BRANCHLORA_BODY(Index t) {
      for (Index r = 0; r < rank; ++r) {
        const Index i = f.a.chosen_of(t)[r];
        const T d = dz(t, f.b.chosen_of(t)[r]);
        du(t, i) = f.a.weights(f.a.unit(t), r) * d;
        dweights(t, r) = u(t, i) * d;
      }
    });
    if (a_->trainable) {
      const bool add = std::exchange(a_->has_grad, true);
      backend.skinny_outer(du, step.dropped.value(), T(1), a_->grad, add, of_a(step.factors));
    }
    if (step.dropped.needs_grad()) {
      const auto dx = tape.gradient(step.dropped);
      backend.skinny_axpy(du, a_->value, T(1), dx.view, dx.add, of_a(step.factors));
    }
    if constexpr (V::scored) gate_.close(tape, step.x, step.factors, dweights, *a_);
  }

 private:
  static Chosen of_a(const Factors& f) { return {f.a.chosen, rank, 1}; }
  static Chosen of_b(const Factors& f) { return {f.b.chosen, rank, 1}; }

  double dropout_;
  T scale_;
  Parameter<T>* a_;
  Parameter<T>* b_;
  Gate gate_;
};

}  // namespace branchlora
