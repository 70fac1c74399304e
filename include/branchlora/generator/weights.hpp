/// @file
/// The weights of an adapter outside of its model.
#pragma once

#include <fmt/format.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/to_host.hpp"

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
  Weights weights;
  for (const auto& p : parameters) {
    if (!wanted(p)) continue;
    const auto host = to_host(parameters.backend(), p.value);
    weights.push_back({p.name, {p.value.rows, p.value.cols}, {host.begin(), host.end()}});
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
