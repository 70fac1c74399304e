#include "branchlora/autograd/op/recompute.hpp"

#include <doctest/doctest.h>

#include "branchlora/nn/linear.hpp"
#include "support/gradient_check.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

// Three layers with dropout between, applied as they are or one by one as parts that are run again.
struct Deep {
  Double backend;
  ParameterSet<Double> parameters{backend};
  Parameter<double>& x = parameters.add("x", 7, 5);
  std::vector<nn::Linear<Double>> layers;
  Tape<Double> tape{backend};
  int calls = 0;
  int seconds = 0;

  Deep() {
    for (const char* name : {"a", "b", "c"}) layers.emplace_back(parameters, name, 5, 5, true);
    std::uint64_t stream = 0;
    for (auto& p : parameters) {
      assign(p.value, random_dense(p.value.rows, p.value.cols, ++stream));
      parameters.set_trainable(p, true);
    }
  }

  Var<double> operator()(Tape<Double>& on, bool again, std::uint64_t number = 3) {
    Var<double> y = on.parameter(x);
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const auto layer = [=, this](Tape<Double>& t, Var<double> in, bool second) {
        ++calls;
        seconds += second ? 1 : 0;
        const auto h = op::dropout(t, op::gelu(t, layers[i](t, in)), 0.3, Random(number));
        return op::add(t, in, op::add(t, h, op::gelu(t, h)));
      };
      y = again ? op::recompute(on, y, layer) : layer(on, y, false);
    }
    return weighted_sum(on, y, random_dense(7, 5, 90));
  }

  // The loss and all gradients of two passes, the second of which adds to the first's.
  std::vector<Dense> step(bool again) {
    parameters.clear_gradients();
    std::vector<Dense> results;
    for (const std::uint64_t number : {3U, 4U}) {
      tape.reset();
      const auto loss = (*this)(tape, again, number);
      tape.backward(loss, 0.25);
      results.push_back(to_dense(loss.value()));
    }
    for (auto& p : parameters) results.push_back(to_dense(p.grad));
    return results;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Deep, "what is run again has the same value and gradients to the bit") {
  const auto expected = step(false);
  calls = 0;
  CHECK(step(true) == expected);
  // Two passes of three layers, there and back.
  CHECK(calls == 12);
  CHECK(seconds == 6);
}

TEST_CASE_FIXTURE(Deep, "gradients of what is run again") {
  check_gradients(parameters, [this](Tape<Double>& on) { return (*this)(on, true); });
}

TEST_CASE_FIXTURE(Deep, "what is run again is kept for one part at a time") {
  Deep plain;
  plain.step(false);
  step(true);
  // Of a layer eight matrices of 7 x 5 and their gradients, where each fills 64 bytes: three
  // layers, or one beside the result of each.
  CHECK(tape.peak_bytes() < plain.tape.peak_bytes() / 2);
  const auto peak = tape.peak_bytes();
  step(true);
  CHECK(tape.peak_bytes() == peak);
}

TEST_CASE_FIXTURE(Deep, "without recording nothing is run again") {
  tape.set_recording(false);
  const auto y = (*this)(tape, true);
  CHECK_FALSE(y.needs_grad());
  CHECK(calls == 3);
}

TEST_CASE_FIXTURE(Deep, "an input that has no part in the result has no gradient") {
  Parameter<double>& p = layers[0].weight();
  const auto y = op::recompute(tape, tape.parameter(x), [&p](Tape<Double>& on, Var<double>, bool) {
    return on.parameter(p);
  });
  tape.backward(weighted_sum(tape, y, random_dense(5, 5, 1)));
  CHECK(to_dense(x.grad) == Dense(7, 5));
}

TEST_CASE_FIXTURE(Deep, "a part without anything that trains has no backward pass") {
  for (auto& p : parameters) parameters.set_trainable(p, false);
  tape.backward((*this)(tape, true));
  for (auto& p : parameters) CHECK_FALSE(p.has_grad);
}
