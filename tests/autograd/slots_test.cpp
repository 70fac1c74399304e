#include "branchlora/autograd/op/slots.hpp"

#include <doctest/doctest.h>

#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

TEST_CASE("rows are repeated, weighted and added up again") {
  Double backend;
  ParameterSet<Double> parameters(backend);
  auto& x = parameters.add("x", 3, 5);
  auto& w = parameters.add("w", 3, 2);
  assign(x.value, random_dense(3, 5, 1));
  assign(w.value, random_dense(3, 2, 2));
  for (auto& p : parameters) parameters.set_trainable(p, true);
  Tape<Double> tape(backend);
  const auto repeated = op::repeat_rows(tape, tape.parameter(x), 2);
  const Dense xs = to_dense(x.value);
  CHECK(to_dense(repeated.value()) == dense(6, 5, [&](Index i, Index c) { return xs(i / 2, c); }));
  const Dense other = random_dense(6, 5, 3);
  const auto m = tape.scratch(6, 5);
  assign(m, other);
  const auto y = op::weigh_rows(tape, tape.constant(m), tape.parameter(w));
  const Dense ws = to_dense(w.value);
  CHECK(distance(to_dense(y.value()), dense(3, 5, [&](Index t, Index c) {
                   return ws(t, 0) * other(2 * t, c) + ws(t, 1) * other(2 * t + 1, c);
                 })) < 1e-15 * 10);
  const Dense weights = random_dense(3, 5, 4);
  check_gradients(parameters, [&](Tape<Double>& t) {
    // Rows that differ from their twins, and each input read twice.
    const auto slots = op::repeat_rows(t, t.parameter(x), 2);
    const auto mixed = op::weigh_rows(t, op::gelu(t, slots), t.parameter(w));
    const auto again = op::weigh_rows(t, slots, t.parameter(w));
    return weighted_sum(t, op::swiglu(t, op::add(t, mixed, t.parameter(x)), again), weights);
  });
}
