#include "branchlora/nn/init.hpp"

#include <doctest/doctest.h>

#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("a parameter's start depends on its name and the seed, not on its neighbours") {
  Double backend;
  ParameterSet<Double> one(backend);
  ParameterSet<Double> two(backend);
  auto& a = one.add("a", 2, 3);
  two.add("before", 1, 1);
  auto& b = two.add("a", 2, 3);
  auto& other = two.add("b", 2, 3);
  for (auto* p : {&b, &other}) nn::fill_normal(two, *p, Random(5), 0.5);
  nn::fill_normal(one, a, Random(5), 0.5);
  CHECK(to_dense(a.value) == to_dense(b.value));
  CHECK_FALSE(to_dense(a.value) == to_dense(other.value));
  CHECK(a.value(1, 2) == 0.5 * Random(5).fork("a").normal(5));
}

TEST_CASE("uniform and constant starts") {
  Double backend;
  ParameterSet<Double> parameters(backend);
  auto& p = parameters.add("p", 30, 30);
  nn::fill_uniform(parameters, p, Random(5), 0.25);
  CHECK(largest(to_dense(p.value)) <= 0.25);
  CHECK(largest(to_dense(p.value)) > 0.24);
  nn::fill_constant(parameters, p, -2.0);
  CHECK(to_dense(p.value) == dense(30, 30, [](Index, Index) { return -2.0; }));
}
