/// @file
/// A layer norm with gain and bias.
#pragma once

#include <string>

#include "branchlora/autograd/op/layer_norm.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora::nn {

/// (x - mean) / sqrt(variance + epsilon) * gain + bias.
template <Backend B>
class LayerNorm {
 public:
  using T = typename B::Scalar;

  LayerNorm(ParameterSet<B>& parameters, const std::string& name, Index width, double epsilon)
      : parameters_(&parameters),
        gain_(&parameters.add(name + ".weight", 1, width)),
        bias_(&parameters.add(name + ".bias", 1, width)),
        epsilon_(epsilon) {
    gain_->decays = bias_->decays = false;
    initialize(Random(0));
  }

  /// Gain 1, bias 0.
  void initialize(const Random& /*random*/) {
    fill_constant(*parameters_, *gain_, 1.0);
    fill_constant(*parameters_, *bias_, 0.0);
  }

  Var<T> operator()(Tape<B>& tape, Var<T> x) const {
    return op::layer_norm(tape, x, tape.parameter(*gain_), tape.parameter(*bias_), epsilon_);
  }

  void set_trainable(bool trainable) {
    parameters_->set_trainable(*gain_, trainable);
    parameters_->set_trainable(*bias_, trainable);
  }

 private:
  ParameterSet<B>* parameters_;
  Parameter<T>* gain_;
  Parameter<T>* bias_;
  double epsilon_;
};

}  // namespace branchlora::nn
