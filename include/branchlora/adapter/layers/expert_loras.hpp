/// @file
/// The LoRAs of many experts beside one linear layer, one expert for each row.
#pragma once

#include <cstdint>
#include <string>

#include "branchlora/adapter/input_dropout.hpp"
#include "branchlora/adapter/low_rank.hpp"
#include "branchlora/adapter/plain_adapter.hpp"

namespace branchlora {

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

  /// y + s B_e A_e x for each row of x, with e its expert: adds to the memory of y.
  Var<T> apply(Tape<B>& tape, Var<T> x, Var<T> y, const std::int32_t* expert_of,
               const RoutingContext& context) {
    x = input_dropout(tape, x, dropout_, context, this->name());
    Operation step{this, x, y, {}, {}, {expert_of, 1, V::rank}};
    step.u = loras_.forward(tape, x.value(), scale_, y.value(), step.chosen);
    return tape.finish(step, y.value(), x.needs_grad() || y.needs_grad() || loras_.trained() != 0);
  }

  Var<T> operator()(Tape<B>& /*tape*/, Var<T> /*x*/, Var<T> /*y*/,
                    const RoutingContext& /*context*/) override {
    fail("{}: the experts of a feed-forward layer can not be applied to one linear", this->name());
  }
  /// The balance loss is one of all tokens.
  bool needs_every_token() const override { return true; }

 private:
  /// `apply` on the tape.
  struct Operation {
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

}  // namespace branchlora
