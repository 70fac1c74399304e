/// @file
/// Gradients against central finite differences.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "branchlora/autograd/ops.hpp"
#include "branchlora/eigen/backend.hpp"
#include "support/naive.hpp"

namespace branchlora::test {

using Double = eigen::Backend<double>;
using Single = eigen::Backend<float>;

/// The scalar sum of weights * y over all elements, as a node: the loss of a test.
template <Backend B>
Var<typename B::Scalar> weighted_sum(Tape<B>& tape, Var<typename B::Scalar> y,
                                     const Dense& weights) {
  const auto w = tape.scratch(1, weights.size());
  assign(w, Dense(1, weights.size(), weights.data));
  return op::linear(tape, op::reshape(tape, y, 1, y.value().size()), tape.constant(w));
}

/// Checks the gradient that `loss(tape)`, a 1 x 1 node, leaves in every trainable parameter of a
/// set against (L(w + h) - L(w - h)) / 2h, element by element. `extra()` is added to L in the
/// differences: a term whose gradient an operation adds without the tape having its value.
///
/// The difference is off by h^2 |L'''| / 6 (truncation) and by about u |L| / h (rounding of L, u =
/// 2.2e-16, a few times that for sums of a few hundred terms). Their sum is least near h = cbrt(u)
/// = 6e-6 times the scale of w: 6e-12 |L'''| + 4e-11 |L|. So a right gradient agrees to 1e-6 of
/// itself, and to 2e-9 max(1, |L|) where it is next to zero.
template <class Loss, class Extra>
void check_gradients(ParameterSet<Double>& parameters, Loss loss, Extra extra) {
  Tape<Double> tape(parameters.backend());
  parameters.clear_gradients();
  const auto value = loss(tape);
  const double height = std::abs(value.value().data[0]);
  tape.backward(value);
  std::vector<Dense> gradients;
  for (const auto& p : parameters) {
    gradients.push_back(p.trainable && p.has_grad ? to_dense(p.grad)
                                                  : Dense(p.value.rows, p.value.cols));
  }
  parameters.clear_gradients();
  tape.set_recording(false);
  const auto evaluate = [&] {
    tape.reset();
    return loss(tape).value().data[0] + extra();
  };
  std::size_t index = 0;
  for (auto& p : parameters) {
    const Dense& gradient = gradients[index++];
    if (!p.trainable) continue;
    CAPTURE(p.name);
    for (Index i = 0; i < p.value.size(); ++i) {
      double& w = p.value.data[i];
      const double was = w;
      const double h =
          std::cbrt(std::numeric_limits<double>::epsilon()) * std::max(1.0, std::abs(was));
      const double up = was + h;
      const double down = was - h;
      w = up;
      const double high = evaluate();
      w = down;
      const double low = evaluate();
      w = was;
      const double expected = (high - low) / (up - down);
      const double found = gradient.data[static_cast<std::size_t>(i)];
      const double tolerance =
          1e-6 * std::max(std::abs(expected), std::abs(found)) + 2e-9 * std::max(1.0, height);
      CAPTURE(i);
      CAPTURE(expected);
      CAPTURE(found);
      // Not CHECK for each element: a test of thousands of them would report nothing else.
      if (!(std::abs(expected - found) <= tolerance)) {
        FAIL_CHECK("the gradient is not that of finite differences");
        return;
      }
    }
  }
}

template <class Loss>
void check_gradients(ParameterSet<Double>& parameters, Loss loss) {
  check_gradients(parameters, loss, [] { return 0.0; });
}

}  // namespace branchlora::test
