/// @file
/// MixLoRA: Li et al., "MixLoRA: Enhancing Large Language Models Fine-Tuning with LoRA-based
/// Mixture of Experts" (arXiv 2404.15159).
#pragma once

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/any_ffn.hpp"
#include "branchlora/adapter/gate/balance_slopes.hpp"
#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/layer.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/adapter/plain_adapter.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/autograd/op/add.hpp"
#include "branchlora/autograd/op/linear.hpp"
#include "branchlora/autograd/op/slots.hpp"
#include "branchlora/autograd/op/swiglu.hpp"

namespace branchlora {

template <Backend B, class V>
class MixedFfn;

/// Experts are whole feed-forward layers, the frozen one with E LoRAs on each of its linears:
///
///     y = sum over the K chosen e of w_e FFN_e(x)
///     FFN_e(x) = (W_d + s B_e A_e)(silu((W_g + s B'_e A'_e) x) * (W_u + s B''_e A''_e) x)
///
/// with w the softmax over the K largest of W_r x, for each token, W_r of E x width, and a plain
/// LoRA on the linears of attention. s = alpha / R; A starts uniform in +-1/sqrt(d_in), B at zero,
/// W_r as N(0, 0.02^2). The products of the frozen W_g and W_u are taken once for all experts; that
/// of W_d too, since it is linear: W_d sum of w_e act_e.
///
/// The balance loss is balance_weight * E sum of f_e P_e, f_e being the share of the choices and
/// P_e the mean of the softmax over all experts. Ours is that of each layer, added up; the authors
/// take one over the tokens of all layers. Dropout falls on the inputs of A, once for all experts.
template <int R, int E, int K>
struct MixLora : PlainVariant {
  static_assert(R >= 1, "The R of MixLora<R, E, K> must be at least 1.");
  static_assert(K >= 1 && K <= E, "MixLora<R, E, K> cannot choose more experts than it has.");
  static_assert(E <= max_branches, "MixLora<R, E, K> can have at most 64 experts.");
  static constexpr int rank = R;
  static constexpr int experts = E;
  static constexpr int top_k = K;
  using Attention = Lora<R>;

  /// Beside the linears of attention.
  template <Backend B>
  using Layer = AdapterLayer<B, Attention>;
  /// In place of the feed-forward layer.
  template <Backend B>
  using Ffn = MixedFfn<B, MixLora>;

  /// The factor s.
  static constexpr double scale(const Hyper& hyper) { return hyper.alpha / R; }

  /// Whether a linear of a `ModelShape` is one of the feed-forward layer's.
  static constexpr bool in_ffn(const LinearShape& linear) {
    return linear.name == "gate" || linear.name == "up" || linear.name == "down";
  }
  /// Trainable parameters beside a linear of a model; the router counts with "gate".
  static constexpr Parameters parameters(const LinearShape& linear) {
    const Parameters lora = parameters(linear.d_in, linear.d_out);
    if (!in_ffn(linear)) return lora;
    return {E * lora.a, E * lora.b, linear.name == "gate" ? E * linear.d_in : 0};
  }
  /// Operations beside a linear of a model: K experts for each token.
  static constexpr Flops flops(const LinearShape& linear, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    Flops f = flops(linear.d_in, linear.d_out, tokens, sequences);
    if (!in_ffn(linear)) return f;
    f.adapter = K * f.adapter;
    if (linear.name == "gate") {
      const std::int64_t route = 2 * tokens * linear.d_in * E;
      f.adapter += {route, 2 * route};
    }
    return f;
  }
  /// Trainable parameters beside a linear of attention.
  static constexpr Parameters parameters(std::int64_t d_in, std::int64_t d_out) {
    return Attention::parameters(d_in, d_out);
  }
  /// Operations beside a linear of attention.
  static constexpr Flops flops(std::int64_t d_in, std::int64_t d_out, std::int64_t tokens,
                               std::int64_t sequences = 1) {
    return Attention::flops(d_in, d_out, tokens, sequences);
  }
  /// Bytes of AdamW training beside a linear of attention.
  static constexpr std::int64_t optimizer_bytes(std::int64_t d_in, std::int64_t d_out) {
    return Attention::optimizer_bytes(d_in, d_out);
  }
  static std::string describe() { return fmt::format("MixLora<{}, {}, {}>", R, E, K); }
  bool operator==(const MixLora&) const = default;
};

/// The authors' settings at R = 16, E = 8, K = 2.
inline constexpr Hyper mix_lora_hyper{.alpha = 32.0, .dropout = 0.05, .balance_weight = 1e-3};

/// The LoRAs of all experts beside one linear of a feed-forward layer, which its `MixedFfn`
/// applies.
template <Backend B, class V>
class ExpertLoras final : public PlainAdapter<B> {
 public:
  using T = typename B::Scalar;

  /// Adds `name`.lora_A.e and .lora_B.e for each expert e.
  ExpertLoras(ParameterSet<B>& parameters, const std::string& name, Index d_in, Index d_out,
              const Hyper& hyper, const Random& random)
      : PlainAdapter<B>(name),
        dropout_(hyper.dropout),
        scale_(static_cast<T>(V::scale(hyper))),
        loras_(parameters, name,
               {.d_in = d_in, .d_out = d_out, .rank = V::rank, .branches = V::experts}, random) {
    loras_.use(V::experts, 0);
  }

  /// y + s B_e A_e x for each slot with its expert e: adds to the memory of y.
  Var<T> apply(Tape<B>& tape, Var<T> x, Var<T> y, const std::int32_t* expert_of,
               const Routing& routing) {
    x = input_dropout(tape, x, dropout_, routing, this->name());
    Step step{this, x, y, {}, {}, {expert_of, 1, V::rank}};
    step.u = loras_.forward(tape, x.value(), scale_, y.value(), step.chosen);
    step.out = tape.view(y.value(), y);
    step.out.node()->needs_grad =
        tape.recording() && (x.needs_grad() || y.needs_grad() || loras_.trained() != 0);
    tape.record(step.out, step);
    return step.out;
  }

  Var<T> operator()(Tape<B>& /*tape*/, Var<T> /*x*/, Var<T> /*y*/,
                    const Routing& /*routing*/) override {
    fail("{}: the experts of a feed-forward layer can not be applied to one linear", this->name());
  }
  /// The balance loss is one of all tokens.
  bool needs_every_token() const override { return true; }

 private:
  struct Step {
    ExpertLoras* experts;
    Var<T> x, y, out;
    MatrixView<T> u;
    Chosen chosen;

    void backward(Tape<B>& tape) const {
      tape.share_gradient(out, y);
      experts->loras_.backward(tape, x, u, out.grad(), experts->scale_, chosen);
    }
  };

  double dropout_;
  T scale_;
  LowRank<B> loras_;
};

/// The feed-forward layer of `MixLora`.
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
                    const Routing& routing) override {
    auto* chosen = tape.template array<std::int32_t>(x.rows() * top_k);
    const Var<T> weights = route(tape, op::linear(tape, x, tape.parameter(*router_)), chosen);
    const auto expert = [&](ExpertLoras<B, V>& loras, AdaptedLinear<B>& linear, Var<T> slots) {
      return loras.apply(tape, slots, op::repeat_rows(tape, linear.base()(tape, x), top_k), chosen,
                         routing);
    };
    const Var<T> slots = op::repeat_rows(tape, x, top_k);
    const Var<T> act =
        op::swiglu(tape, expert(*gate_, linears.gate, slots), expert(*up_, linears.up, slots));
    const auto zeros = tape.scratch(act.rows(), linears.down.base().out());
    tape.backend().fill(zeros, T(0));
    const Var<T> delta = down_->apply(tape, act, tape.constant(zeros), chosen, routing);
    return op::add(tape, linears.down.base()(tape, op::weigh_rows(tape, act, weights)),
                   op::weigh_rows(tape, delta, weights));
  }

  // Public since nvcc takes bodies from public functions only.

  /// The weights of each token's experts, tokens x K, and their numbers in `chosen`.
  Var<T> route(Tape<B>& tape, Var<T> logits, std::int32_t* chosen) const {
    const Index tokens = logits.rows();
    const auto p = tape.scratch(tokens, experts);
    const Var<T> weights = tape.result(tokens, top_k, logits);
    tape.backend().for_each(tokens,
                            [=, l = logits.value(), w = weights.value()] BRANCHLORA_BODY(Index t) {
                              gate::softmax<experts>(l.row(t), all, p.row(t));
                              gate::top_k<experts, top_k>(l.row(t), all, chosen + t * top_k);
                              T sum = 0;
                              for (Index k = 0; k < top_k; ++k) sum += p(t, chosen[t * top_k + k]);
                              for (Index k = 0; k < top_k; ++k)
                                w(t, k) = p(t, chosen[t * top_k + k]) / sum;
                            });
    tape.record(weights, Route{this, logits, weights, p, chosen});
    return weights;
  }

  /// What the way back from the weights needs; p is the softmax over all experts.
  struct Route {
    const MixedFfn* ffn;
    Var<T> logits, weights;
    MatrixView<T> p;
    const std::int32_t* chosen;

    void backward(Tape<B>& tape) const { ffn->backward(tape, *this); }
  };

  void backward(Tape<B>& tape, const Route& route) const {
    const T* slopes = gate::balance_slopes<balance::Switch, experts, top_k>(
        tape, route.chosen, route.p.rows, balance_weight_);
    const auto sink = tape.gradient(route.logits);
    tape.backend().for_each(route.p.rows,
                            [=, p = route.p, chosen = route.chosen, w = route.weights.value(),
                             dw = route.weights.grad()] BRANCHLORA_BODY(Index t) {
                              T dot = 0;
                              T mean = 0;
                              for (Index k = 0; k < top_k; ++k) dot += w(t, k) * dw(t, k);
                              for (Index e = 0; e < experts; ++e) mean += p(t, e) * slopes[e];
                              T* d = sink.view.row(t);
                              for (Index e = 0; e < experts; ++e) {
                                d[e] = (sink.add ? d[e] : T(0)) + p(t, e) * (slopes[e] - mean);
                              }
                              for (Index k = 0; k < top_k; ++k) {
                                d[chosen[t * top_k + k]] += w(t, k) * (dw(t, k) - dot);
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
