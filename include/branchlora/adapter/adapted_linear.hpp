/// @file
/// A linear layer with an adapter beside it, or with none.
#pragma once

#include <optional>
#include <string>

#include "branchlora/adapter/layer.hpp"
#include "branchlora/nn/linear.hpp"

namespace branchlora {

/// Stands for an adapter variant where a model has none.
struct NoAdapter {};

/// The layer of no adapter: nothing.
template <Backend B>
class AdapterLayer<B, NoAdapter> {};

/// A linear layer of a model with adapters of variant `V`: the frozen product, and the adapter's
/// output added to it in place.
template <Backend B, class V>
class AdaptedLinear {
 public:
  using T = typename B::Scalar;

  AdaptedLinear(ParameterSet<B>& parameters, const std::string& name, Index in, Index out)
      : parameters_(&parameters), name_(name), base_(parameters, name, in, out, false) {}

  /// Adds the adapter. Before that the layer is its base alone.
  void attach(const Hyper& hyper, const Random& random)
    requires(!std::is_same_v<V, NoAdapter>)
  {
    adapter_.emplace(*parameters_, name_, base_.in(), base_.out(), hyper, random);
  }

  Var<T> operator()(Tape<B>& tape, Var<T> x, const Routing& routing) {
    const Var<T> y = base_(tape, x);
    if constexpr (std::is_same_v<V, NoAdapter>) {
      (void)routing;
      return y;
    } else {
      return adapter_ ? (*adapter_)(tape, x, y, routing) : y;
    }
  }

  nn::Linear<B>& base() { return base_; }
  auto& adapter() { return *adapter_; }

 private:
  ParameterSet<B>* parameters_;
  std::string name_;
  nn::Linear<B> base_;
  std::optional<AdapterLayer<B, V>> adapter_;
};

}  // namespace branchlora
