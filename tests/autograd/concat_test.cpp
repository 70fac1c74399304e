#include "branchlora/autograd/op/concat.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("concat") {
  check_operation(Operation{
      [](Index tokens, Index width) {
        return Inputs{random_dense(tokens, width, 1), random_dense(tokens, 3, 2)};
      },
      [](auto& tape, const auto& in, Keep&) { return op::concat(tape, in[0], in[1]); },
      [](const Inputs& in) {
        const Index left = in[0].cols;
        return dense(in[0].rows, left + 3,
                     [&](Index i, Index c) { return c < left ? in[0](i, c) : in[1](i, c - left); });
      },
      [](Index, Index) { return 8.0; }});
}

TEST_CASE("concat refuses matrices of different heights") {
  Double backend;
  Tape<Double> tape(backend);
  check_mentions(error_of([&] {
                   op::concat(tape, tape.constant(tape.scratch(3, 2)),
                              tape.constant(tape.scratch(4, 2)));
                 }),
                 "right side", "3 x 2", "4 x 2");
}
