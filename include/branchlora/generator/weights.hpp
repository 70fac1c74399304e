/// @file
/// The weights of an adapter outside of its model.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/autograd/parameter.hpp"

namespace branchlora::generator {

/// A tensor in host memory, row-major.
struct NamedTensor {
  std::string name;
  std::vector<Index> shape;
  std::vector<float> values;

  bool operator==(const NamedTensor&) const = default;
};

/// The weights of one adapter.
using Weights = std::vector<NamedTensor>;

/// The parameters for which `wanted(parameter)` holds, copied to host memory.
template <Backend B, class Wanted>
Weights weights_of(const ParameterSet<B>& parameters, Wanted wanted) {
  using T = typename B::Scalar;
  Weights weights;
  std::vector<T> host;
  for (const auto& p : parameters) {
    if (!wanted(p)) continue;
    host.resize(static_cast<std::size_t>(p.value.size()));
    parameters.backend().download(host.data(), p.value.data, host.size() * sizeof(T));
    NamedTensor t{p.name, {p.value.rows, p.value.cols}, {}};
    for (const T x : host) t.values.push_back(static_cast<float>(x));
    weights.push_back(std::move(t));
  }
  return weights;
}

/// Copies weights into the parameters of their names. Throws `Error` naming the tensor that has
/// none or another shape.
template <Backend B>
void load_weights(ParameterSet<B>& parameters, const Weights& weights) {
  using T = typename B::Scalar;
  for (const NamedTensor& t : weights) {
    const Parameter<T>* p = parameters.find(t.name);
    expect(p != nullptr, "adapter weights: expected a parameter '{}' in the model, found none",
           t.name);
    expect(t.shape == std::vector<Index>{p->value.rows, p->value.cols} &&
               std::ssize(t.values) == p->value.size(),
           "adapter weights: tensor '{}': expected shape {} x {}, found [{}]", t.name,
           p->value.rows, p->value.cols, fmt::join(t.shape, ", "));
    const std::vector<T> host(t.values.begin(), t.values.end());
    parameters.backend().upload(p->value.data, host.data(), host.size() * sizeof(T));
  }
}

}  // namespace branchlora::generator
