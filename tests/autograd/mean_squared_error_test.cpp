#include "branchlora/autograd/op/mean_squared_error.hpp"

#include <doctest/doctest.h>

#include "io/temporary_folder.hpp"
#include "support/operation.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("mean squared error") {
  const auto target_of = [](Index rows, Index cols) { return random_dense(rows, cols, 8); };
  check_operation(
      Operation{[](Index tokens, Index width) { return Inputs{random_dense(tokens, width, 1)}; },
                [=](auto& tape, const auto& in, Keep&) {
                  const auto target = tape.scratch(in[0].rows(), in[0].cols());
                  assign(target, target_of(target.rows, target.cols));
                  return op::mean_squared_error(tape, in[0], target);
                },
                [=](const Inputs& in) {
                  const Dense t = target_of(in[0].rows, in[0].cols);
                  double sum = 0;
                  for (std::size_t i = 0; i < t.data.size(); ++i) {
                    sum += (in[0].data[i] - t.data[i]) * (in[0].data[i] - t.data[i]);
                  }
                  return Dense(1, 1, {sum / static_cast<double>(t.size())});
                },
                // Squares are not negative: a sum errs by its terms in a row and then its rows.
                [](Index tokens, Index width) { return static_cast<double>(tokens + width + 8); }});
}

TEST_CASE("mean squared error by hand, and its bad input") {
  Double backend;
  Tape<Double> tape(backend);
  double x[] = {1, 2, 3, 4};
  double t[] = {1, 0, 3, 0};
  const auto loss = op::mean_squared_error(tape, tape.constant({x, 2, 2}), {t, 2, 2});
  CHECK(loss.value()(0, 0) == 5.0);  // (0 + 4 + 0 + 16) / 4
  check_mentions(error_of([&] {
                   op::mean_squared_error(tape, tape.constant({x, 2, 2}), {t, 1, 4});
                 }),
                 "target", "2 x 2", "1 x 4");
}
