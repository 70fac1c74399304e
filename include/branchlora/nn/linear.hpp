/// @file
/// A linear layer that is trained, or frozen and packed.
#pragma once

#include <cmath>
#include <optional>
#include <string>

#include "branchlora/autograd/op/frozen_linear.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora::nn {

/// y = x w^T (+ b), w out x in. Its parameters belong to the model's `ParameterSet`.
template <Backend B>
class Linear {
 public:
  using T = typename B::Scalar;

  Linear(ParameterSet<B>& parameters, const std::string& name, Index in, Index out, bool bias)
      : parameters_(&parameters),
        weight_(&parameters.add(name + ".weight", out, in)),
        bias_(bias ? &parameters.add(name + ".bias", 1, out) : nullptr) {
    if (bias) bias_->decays = false;
  }

  /// N(0, gain^2 / in) for the weight, zero for the bias.
  void initialize(const Random& random, double gain = 1.0) {
    fill_normal(*parameters_, *weight_, random, gain / std::sqrt(static_cast<double>(in())));
    if (bias_ != nullptr) fill_constant(*parameters_, *bias_, 0.0);
  }

  /// x (tokens x in) to tokens x out.
  Var<T> operator()(Tape<B>& tape, Var<T> x) const {
    if (frozen_) {
      return op::frozen_linear(tape, x, *frozen_,
                               bias_ != nullptr ? MatrixView<const T>(bias_->value)
                                                : MatrixView<const T>());
    }
    const Var<T> w = tape.parameter(*weight_);
    return bias_ != nullptr ? op::linear(tape, x, w, tape.parameter(*bias_))
                            : op::linear(tape, x, w);
  }

  /// Ends training of this layer and lays its weight out for products. Call again after the
  /// weight was changed by hand (merging).
  void freeze(Storage storage = Storage::full) {
    set_trainable(false);
    frozen_ = parameters_->backend().freeze(weight_->value, storage);
  }

  /// Makes weight and bias trainable, or not.
  void set_trainable(bool trainable) {
    if (trainable) frozen_.reset();
    parameters_->set_trainable(*weight_, trainable);
    if (bias_ != nullptr) parameters_->set_trainable(*bias_, trainable);
  }

  Parameter<T>& weight() { return *weight_; }
  Parameter<T>* bias() { return bias_; }
  Index in() const { return weight_->value.cols; }
  Index out() const { return weight_->value.rows; }

 private:
  ParameterSet<B>* parameters_;
  Parameter<T>* weight_;
  Parameter<T>* bias_;
  std::optional<typename B::FrozenWeight> frozen_;
};

}  // namespace branchlora::nn
