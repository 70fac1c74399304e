/// @file
/// A linear layer with an adapter beside it, or with none.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/nn/linear.hpp"

namespace branchlora {

/// A linear layer of a model: the base product, and the output of an adapter added to it in place.
template <Backend B>
class AdaptedLinear {
 public:
  using T = typename B::Scalar;

  AdaptedLinear(ParameterSet<B>& parameters, const std::string& name, Index in, Index out)
      : parameters_(&parameters), name_(name), base_(parameters, name, in, out, false) {}

  /// Adds an adapter; the layer is one of block `block` of `blocks`. Before that the layer is its
  /// base alone, whose weight must have its values.
  void attach(const Method<B>& method, const Hyper& hyper, const Random& random, Index block = 0,
              Index blocks = 1) {
    adapter_ =
        method.make(*parameters_, {name_, block, blocks}, base_.weight().value, hyper, random);
  }

  /// Adds an adapter that was made elsewhere.
  void attach(std::unique_ptr<AnyAdapter<B>> adapter) { adapter_ = std::move(adapter); }

  Var<T> operator()(Tape<B>& tape, Var<T> x, const RoutingContext& context) {
    if (!adapter_) return base_(tape, x);
    if (const auto* frozen = base_.frozen()) return adapter_->with_base(tape, x, *frozen, context);
    return (*adapter_)(tape, x, base_(tape, x), context);
  }

  const std::string& name() const { return name_; }
  nn::Linear<B>& base() { return base_; }
  /// The adapter, or null.
  AnyAdapter<B>* adapter() { return adapter_.get(); }

 private:
  ParameterSet<B>* parameters_;
  std::string name_;
  nn::Linear<B> base_;
  std::unique_ptr<AnyAdapter<B>> adapter_;
};

}  // namespace branchlora
