/// @file
/// The projector between vision tower and decoder.
#pragma once

#include "branchlora/autograd/op/gelu.hpp"
#include "branchlora/model/config.hpp"
#include "branchlora/nn/linear.hpp"

namespace branchlora::model {

/// Linear, GELU, linear, with biases: LLaVA-1.5's `mlp2x_gelu`.
template <Backend B>
class Projector {
 public:
  using T = typename B::Scalar;

  Projector(ParameterSet<B>& parameters, const ModelConfig& config)
      : in_(parameters, "projector.in", config.vision.feature_width(), config.decoder.width, true),
        out_(parameters, "projector.out", config.decoder.width, config.decoder.width, true) {}

  /// The second layer starts four times as large as the first, so that image tokens enter the
  /// decoder at about the scale of words.
  void initialize(const Random& random) {
    in_.initialize(random);
    out_.initialize(random, 4.0);
  }

  /// images * tokens x feature_width to images * tokens x decoder width.
  Var<T> operator()(Tape<B>& tape, Var<T> features) const {
    return out_(tape, op::gelu(tape, in_(tape, features)));
  }

  /// Calls f on both linear layers.
  template <class F>
  void for_each_layer(F f) {
    f(in_);
    f(out_);
  }

 private:
  nn::Linear<B> in_, out_;
};

}  // namespace branchlora::model
