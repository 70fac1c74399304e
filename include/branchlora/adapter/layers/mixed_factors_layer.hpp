/// @file
/// The layer of conditional MixLoRA: rank-1 factors of two pools, chosen once a sequence.
#pragma once

#include <string>

#include "branchlora/adapter/gate/factor_gate.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/plain_adapter.hpp"

namespace branchlora {

/// The adapter of `ConditionalMixLora`, `V`: y + s sum over r of w_r b_{I_B[r]} (a_{I_A[r]} . x).
/// The pools are one stack of factors, `lora_A` and `lora_B`; `FactorGate` chooses.
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
        factors_(parameters, name, {.d_in = weight.cols, .d_out = weight.rows, .rank = V::pool},
                 random),
        gate_(parameters, name, weight.cols, random) {
    factors_.use(1, 0);
  }

  Var<T> operator()(Tape<B>& tape, Var<T> x, Var<T> y, const RoutingContext& context) override {
    const std::string& name = this->name();
    expect_shape(y.value(), x.rows(), factors_.up().cols, name.c_str());
    expect_sequences(context, x.rows(), name);
    Operation step{this, x, x, y, {}, {}, {}, gate_.open(tape, x, context, factors_.down())};
    step.dropped = input_dropout(tape, x, dropout_, context, name);
    auto& backend = tape.backend();
    step.u = tape.scratch(x.rows(), V::pool);
    step.z = tape.scratch(x.rows(), V::pool);
    backend.skinny_dot(step.dropped.value(), factors_.down(), T(1), step.u, false,
                       of_a(step.factors));
    mix(backend, step);
    backend.skinny_axpy(step.z, factors_.up(), scale_, y.value(), true, of_b(step.factors));
    return tape.finish(
        step, y.value(),
        x.needs_grad() || y.needs_grad() || factors_.a_trains() || factors_.b_trains());
  }

  bool needs_every_token() const override { return true; }

  /// The layer on the tape. `dropped` is x after dropout.
  struct Operation {
    MixedFactorsLayer* layer;
    Var<T> x, dropped, y, out;
    MatrixView<T> u, z;
    Factors factors;

    void backward(Tape<B>& tape) const { layer->backward(tape, *this); }
  };

  // Public since nvcc takes device lambdas from public functions only.

  /// z of the r-th factor of B = w_r times u of the r-th factor of A. The columns of z that were
  /// not chosen are neither written nor read.
  static void mix(B& backend, const Operation& step) {
    backend.for_each(
        step.u.rows, [u = step.u, z = step.z, f = step.factors] BRANCHLORA_BODY(Index t) {
          for (Index r = 0; r < rank; ++r) {
            z(t, f.b.chosen_of(t)[r]) = f.a.weights(f.a.unit(t), r) * u(t, f.a.chosen_of(t)[r]);
          }
        });
  }

  /// The backward pass.
  void backward(Tape<B>& tape, const Operation& step) {
    auto& backend = tape.backend();
    tape.share_gradient(step.out, step.y);
    const MatrixView<const T> dy = step.out.grad();
    const auto dz = tape.scratch(dy.rows, V::pool);
    const auto du = tape.scratch(dy.rows, V::pool);
    const auto dweights = tape.scratch(dy.rows, rank);
    backend.skinny_dot(dy, factors_.up(), scale_, dz, false, of_b(step.factors));
    if (factors_.b_trains()) {
      const auto to = factors_.b_gradient();
      backend.skinny_outer(step.z, dy, scale_, to.view, to.add, of_b(step.factors));
    }
    backend.for_each(dy.rows, [=, u = step.u, f = step.factors] BRANCHLORA_BODY(Index t) {
      for (Index r = 0; r < rank; ++r) {
        const Index i = f.a.chosen_of(t)[r];
        const T d = dz(t, f.b.chosen_of(t)[r]);
        du(t, i) = f.a.weights(f.a.unit(t), r) * d;
        dweights(t, r) = u(t, i) * d;
      }
    });
    if (factors_.a_trains()) {
      const auto to = factors_.a_gradient();
      backend.skinny_outer(du, step.dropped.value(), T(1), to.view, to.add, of_a(step.factors));
    }
    if (step.dropped.needs_grad()) {
      const auto dx = tape.gradient(step.dropped);
      backend.skinny_axpy(du, factors_.down(), T(1), dx.view, dx.add, of_a(step.factors));
    }
    if constexpr (V::scored) gate_.close(tape, step.x, step.factors, dweights, factors_.a());
  }

 private:
  static Chosen of_a(const Factors& f) { return {f.a.chosen, rank, 1}; }
  static Chosen of_b(const Factors& f) { return {f.b.chosen, rank, 1}; }

  double dropout_;
  T scale_;
  LowRank<B> factors_;
  Gate gate_;
};

}  // namespace branchlora
