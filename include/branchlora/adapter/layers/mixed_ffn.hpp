/// @file
/// The feed-forward layer of MixLoRA: a mixture of whole feed-forward layers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "branchlora/adapter/any_ffn.hpp"
#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/gate/losses/balance.hpp"
#include "branchlora/adapter/layers/expert_loras.hpp"
#include "branchlora/adapter/policy/balance.hpp"
#include "branchlora/autograd/op/add.hpp"
#include "branchlora/autograd/op/linear.hpp"
#include "branchlora/autograd/op/slots.hpp"
#include "branchlora/autograd/op/swiglu.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The feed-forward layer of `MixLora`, `V`:
///
///     p = softmax(W_r x), the K experts of the largest p, w = their p divided by its sum
///     y = W_d sum over them of w_e act_e + sum over them of w_e s B_e A_e act_e
///     act_e = silu((W_g + s B'_e A'_e) x) * (W_u + s B''_e A''_e) x
///
/// A token has K rows of act, one for each of its experts. W_g x and W_u x are computed once a
/// token, the product with W_d on the weighted sum.
template <Backend B, class V>
class MixedFfn final : public AnyFfn<B> {
 public:
  using T = typename B::Scalar;
  static constexpr Index experts = V::experts;
  static constexpr Index top_k = V::top_k;

  /// Leaves `ExpertLoras` on the three linears, and adds the router under the name of the first.
  MixedFfn(ParameterSet<B>& parameters, const FfnLinears<B>& linears, const Hyper& hyper,
           const Random& random)
      : balance_weight_(hyper.balance_weight),
        router_(
            &parameters.add(linears.gate.name() + ".router", experts, linears.gate.base().in())),
        gate_(leave(parameters, linears.gate, hyper, random)),
        up_(leave(parameters, linears.up, hyper, random)),
        down_(leave(parameters, linears.down, hyper, random)) {
    nn::fill_normal(parameters, *router_, random, 0.02);
    parameters.set_trainable(*router_, true);
  }

  Var<T> operator()(Tape<B>& tape, const FfnLinears<B>& linears, Var<T> x,
                    const RoutingContext& context) override {
    auto* chosen = tape.template array<std::int32_t>(x.rows() * top_k);
    const Var<T> weights = route(tape, op::linear(tape, x, tape.parameter(*router_)), chosen);
    const auto expert = [&](ExpertLoras<B, V>& loras, AdaptedLinear<B>& linear, Var<T> slots) {
      return loras.apply(tape, slots, op::repeat_rows(tape, linear.base()(tape, x), top_k), chosen,
                         context);
    };
    const Var<T> slots = op::repeat_rows(tape, x, top_k);
    const Var<T> act =
        op::swiglu(tape, expert(*gate_, linears.gate, slots), expert(*up_, linears.up, slots));
    const auto zeros = tape.scratch(act.rows(), linears.down.base().out());
    tape.backend().fill(zeros, T(0));
    const Var<T> delta = down_->apply(tape, act, tape.constant(zeros), chosen, context);
    return op::add(tape, linears.down.base()(tape, op::weigh_rows(tape, act, weights)),
                   op::weigh_rows(tape, delta, weights));
  }

  // Public since nvcc takes device lambdas from public functions only.

  /// The weights of each token's experts, tokens x K; writes which they are to `chosen`.
  Var<T> route(Tape<B>& tape, Var<T> logits, std::int32_t* chosen) const {
    const Index tokens = logits.rows();
    const auto p = tape.scratch(tokens, experts);
    const Var<T> weights = tape.result(tokens, top_k, logits);
    tape.backend().for_each(tokens,
                            [=, l = logits.value(), w = weights.value()] BRANCHLORA_BODY(Index t) {
                              gating::softmax<experts>(l.row(t), all, p.row(t));
                              gating::top_k<experts, top_k>(l.row(t), all, chosen + t * top_k);
                              for (Index k = 0; k < top_k; ++k)
                                w(t, k) = p(t, chosen[t * top_k + k]);
                              gating::normalize<top_k>(w.row(t));
                            });
    tape.record(weights, RouteOperation{this, logits, weights, p, chosen});
    return weights;
  }

  /// `route` on the tape. p is the softmax over all experts.
  struct RouteOperation {
    const MixedFfn* ffn;
    Var<T> logits, weights;
    MatrixView<T> p;
    const std::int32_t* chosen;

    void backward(Tape<B>& tape) const { ffn->backward(tape, *this); }
  };

  /// From the gradient of the weights to that of the logits, that of the balance loss included.
  void backward(Tape<B>& tape, const RouteOperation& route) const {
    const T* slopes = gate::balance_slopes<balance::Switch, experts, top_k>(
        tape, route.chosen, route.p.rows, balance_weight_);
    const auto sink = tape.gradient(route.logits);
    tape.backend().for_each(route.p.rows,
                            [=, p = route.p, chosen = route.chosen, w = route.weights.value(),
                             dw = route.weights.grad()] BRANCHLORA_BODY(Index t) {
                              T d[experts];
                              gating::softmax_backward<experts>(p.row(t), slopes, d);
                              T dot = 0;
                              for (Index k = 0; k < top_k; ++k) dot += w(t, k) * dw(t, k);
                              for (Index k = 0; k < top_k; ++k) {
                                d[chosen[t * top_k + k]] += w(t, k) * (dw(t, k) - dot);
                              }
                              T* to = sink.view.row(t);
                              for (Index e = 0; e < experts; ++e) {
                                to[e] = sink.add ? to[e] + d[e] : d[e];
                              }
                            });
  }

 private:
  static constexpr BranchSet all = first_branches(V::experts);

  static ExpertLoras<B, V>* leave(ParameterSet<B>& parameters, AdaptedLinear<B>& linear,
                                  const Hyper& hyper, const Random& random) {
    auto loras = std::make_unique<ExpertLoras<B, V>>(parameters, linear.name(), linear.base().in(),
                                                     linear.base().out(), hyper, random);
    auto* raw = loras.get();
    linear.attach(std::move(loras));
    return raw;
  }

  double balance_weight_;
  Parameter<T>* router_;
  ExpertLoras<B, V>* gate_;
  ExpertLoras<B, V>* up_;
  ExpertLoras<B, V>* down_;
};

}  // namespace branchlora
