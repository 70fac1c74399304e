/// @file
/// How branches of an adapter of the engine start.
#pragma once

#include <string>
#include <vector>

#include "branchlora/adapter/layer_pass.hpp"

namespace branchlora {

namespace detail {

/// Copies a matrix of the host into a parameter. Throws `Error` that names it if its shape differs.
template <Backend B>
void set_value(B& backend, Parameter<typename B::Scalar>& p, const HostMatrix<double>& matrix) {
  using T = typename B::Scalar;
  expect_shape(p.value, matrix.rows, matrix.cols, p.name.c_str());
  std::vector<T> values;
  for (const double x : matrix.values) values.push_back(static_cast<T>(x));
  backend.upload(p.value.data, values.data(), values.size() * sizeof(T));
}

}  // namespace detail

/// Sets A and B of `branches`, and where the start is taken off the weight A0 and B0 alike. Throws
/// `Error` if B is not zero where it is not.
template <Backend B, class V>
void start_layer(LayerPass<B, V>& layer, const init::Factors& from, BranchSet branches) {
  constexpr bool residual = LayerPass<B, V>::residual;
  B& backend = layer.factors.backend();
  expect(residual || from.b_transposed.values.empty(),
         "{}: {} gives a B, but takes nothing off the frozen weight", layer.name, V::Init::name());
  for (Index i = 0; i < V::capacity; ++i) {
    if (!contains(branches, i)) continue;
    detail::set_value(backend, layer.factors.a(i), from.a);
    if constexpr (residual) {
      detail::set_value(backend, layer.factors.b(i), from.b_transposed);
      detail::set_value(backend, layer.start.a(i), from.a);
      detail::set_value(backend, layer.start.b(i), from.b_transposed);
    }
  }
}

}  // namespace branchlora
