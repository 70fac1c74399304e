/// @file
/// An RMS norm with gain.
#pragma once

#include <string>

#include "branchlora/autograd/op/rms_norm.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora::nn {

/// x / sqrt(mean(x^2) + epsilon) * gain.
template <Backend B>
class RmsNorm {
 public:
  using T = typename B::Scalar;

  RmsNorm(ParameterSet<B>& parameters, const std::string& name, Index width, double epsilon)
      : parameters_(&parameters),
        gain_(&parameters.add(name + ".weight", 1, width)),
        epsilon_(epsilon) {
    gain_->decays = false;
    initialize(Random(0));
  }

  /// Gain 1.
  void initialize(const Random& /*random*/) { fill_constant(*parameters_, *gain_, 1.0); }

  Var<T> operator()(Tape<B>& tape, Var<T> x) const {
    return op::rms_norm(tape, x, tape.parameter(*gain_), epsilon_);
  }

  void set_trainable(bool trainable) { parameters_->set_trainable(*gain_, trainable); }

 private:
  ParameterSet<B>* parameters_;
  Parameter<T>* gain_;
  double epsilon_;
};

}  // namespace branchlora::nn
