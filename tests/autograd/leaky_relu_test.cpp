#include "branchlora/autograd/op/leaky_relu.hpp"

#include <doctest/doctest.h>

#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("leaky ReLU") {
  // Of 48 normal numbers none lies within the 6e-6 of the kink that finite differences reach over.
  check_operation(Operation{
      [](Index tokens, Index width) { return Inputs{random_dense(tokens, width, 1)}; },
      [](auto& tape, const auto& in, Keep&) { return op::leaky_relu(tape, in[0]); },
      [](const Inputs& in) {
        return dense(in[0].rows, in[0].cols,
                     [&](Index i, Index j) { return std::max(in[0](i, j), 0.01 * in[0](i, j)); });
      },
      // One product, and the loss weights, which are normal numbers below 5.
      [](Index, Index) { return 16.0; }});
}

TEST_CASE("leaky ReLU by hand") {
  CHECK(op::LeakyRelu::value(2.0) == 2.0);
  CHECK(op::LeakyRelu::value(-2.0) == -0.02);
  CHECK(op::LeakyRelu::value(0.0) == 0.0);
  CHECK(op::LeakyRelu::slope(3.0) == 1.0);
  CHECK(op::LeakyRelu::slope(-3.0) == 0.01);
}
