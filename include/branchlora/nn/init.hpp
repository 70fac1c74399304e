/// @file
/// How parameters start. Each draws from its own name, so adding one changes no other.
#pragma once

#include <cmath>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora::nn {

/// Fills a parameter with draw(random, i) for element i.
template <Backend B, class Draw>
void fill(ParameterSet<B>& parameters, Parameter<typename B::Scalar>& p, const Random& random,
          Draw draw) {
  using T = typename B::Scalar;
  expect_present(p);
  const Random own = random.fork(p.name);
  std::vector<T> values(static_cast<std::size_t>(p.value.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(draw(own, i));
  parameters.backend().upload(p.value.data, values.data(), values.size() * sizeof(T));
}

/// N(0, deviation^2).
template <Backend B>
void fill_normal(ParameterSet<B>& parameters, Parameter<typename B::Scalar>& p, const Random& random,
                 double deviation) {
  fill(parameters, p, random,
       [=](const Random& r, std::size_t i) { return deviation * r.normal(i); });
}

/// U(-bound, bound).
template <Backend B>
void fill_uniform(ParameterSet<B>& parameters, Parameter<typename B::Scalar>& p,
                  const Random& random, double bound) {
  fill(parameters, p, random,
       [=](const Random& r, std::size_t i) { return r.uniform(i, -bound, bound); });
}

/// One value everywhere.
template <Backend B>
void fill_constant(ParameterSet<B>& parameters, Parameter<typename B::Scalar>& p, double value) {
  expect_present(p);
  parameters.backend().fill(p.value, static_cast<typename B::Scalar>(value));
}

}  // namespace branchlora::nn
