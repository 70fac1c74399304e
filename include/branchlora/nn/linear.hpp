/// @file
/// A linear layer that is trained, or frozen and packed.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "branchlora/autograd/op/frozen_linear.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora::nn {

/// What becomes of a weight's own memory once it is packed: it stays, or goes if no product reads
/// it any more. Without it a layer can not be trained, merged into, saved or packed anew.
enum class Unpacked : std::uint8_t { keep, release };

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
      return op::frozen_linear(
          tape, x, *frozen_,
          bias_ != nullptr ? MatrixView<const T>(bias_->value) : MatrixView<const T>());
    }
    const Var<T> w = tape.parameter(*weight_);
    return bias_ != nullptr ? op::linear(tape, x, w, tape.parameter(*bias_))
                            : op::linear(tape, x, w);
  }

  /// Ends training of this layer and lays its weight out for products. Call again after the
  /// weight was changed by hand (merging). Throws `Error` if it was released before.
  void freeze(Storage storage = Storage::full, Unpacked unpacked = Unpacked::keep) {
    expect_present(*weight_);
    set_trainable(false);
    auto& backend = parameters_->backend();
    frozen_ = backend.freeze(weight_->value, storage);
    if (unpacked == Unpacked::keep || backend.reads_weight(*frozen_)) return;
    parameters_->release(*weight_);
    frozen_->weight.data = nullptr;
  }

  /// Makes weight and bias trainable, or not.
  void set_trainable(bool trainable) {
    parameters_->set_trainable(*weight_, trainable);
    if (trainable) frozen_.reset();
    if (bias_ != nullptr) parameters_->set_trainable(*bias_, trainable);
  }

  /// The weight as it was laid out, or null if the layer is not frozen.
  const typename B::FrozenWeight* frozen() const { return frozen_ ? &*frozen_ : nullptr; }
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
