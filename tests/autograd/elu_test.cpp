#include "branchlora/autograd/op/elu.hpp"

#include <doctest/doctest.h>

#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("ELU") {
  check_operation(
      Operation{[](Index tokens, Index width) { return Inputs{random_dense(tokens, width, 1)}; },
                [](auto& tape, const auto& in, Keep&) { return op::elu(tape, in[0]); },
                [](const Inputs& in) {
                  return dense(in[0].rows, in[0].cols, [&](Index i, Index j) {
                    const double x = in[0](i, j);
                    return x > 0 ? x : std::expm1(x);
                  });
                },
                // `math::exp` is off by 3e-7, 5 u, of a value below 1; loss weights are below 5.
                [](Index, Index) { return 64.0; }});
}

TEST_CASE("ELU by hand") {
  CHECK(op::Elu::value(2.0) == 2.0);
  CHECK(op::Elu::value(0.0) == 0.0);
  CHECK(op::Elu::value(-1.0) == doctest::Approx(-0.6321205588285577).epsilon(1e-15));
  CHECK(op::Elu::slope(0.5) == 1.0);
  CHECK(op::Elu::slope(-1.0) == doctest::Approx(0.36787944117144233).epsilon(1e-15));
}
