/// @file
/// One description of an operation, and everything that is checked from it.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/gradient_check.hpp"

namespace branchlora::test {

/// Owns what an operation refers to until the tape is done.
using Keep = std::vector<std::shared_ptr<void>>;

/// The inputs of a naive reference.
using Inputs = std::vector<Dense>;

/// What is checked of an operation.
/// - `inputs(tokens, width)`: matrices of a given size, every one of them differentiable.
/// - `apply(tape, vars, keep)`: the operation, in the precision of the tape.
/// - `naive(inputs)`: its value by another way, in double.
/// - `float_steps`: roundings that an element of the value or of a gradient goes through, at width
///   `width` and `tokens` tokens: the bound of the error in float is that times the unit roundoff
///   times the largest magnitude involved.
template <class MakeInputs, class Apply, class Naive, class Steps>
struct Operation {
  MakeInputs inputs;
  Apply apply;
  Naive naive;
  Steps float_steps;
};
template <class... Ts>
Operation(Ts...) -> Operation<Ts...>;

/// The value of an operation and the gradients of its inputs, as doubles.
struct Outcome {
  Dense value;
  std::vector<Dense> gradients;
  bool operator==(const Outcome&) const = default;
};

/// Holds the inputs as trainable parameters and builds sum over uses of weights_use * operation.
template <std::floating_point T>
class Bench {
 public:
  using B = eigen::Backend<T>;

  Bench(const Inputs& inputs, int threads) : backend_(threads), parameters_(backend_) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      auto& p = parameters_.add("input " + std::to_string(i), inputs[i].rows, inputs[i].cols);
      assign(p.value, inputs[i]);
      parameters_.set_trainable(p, true);
    }
  }

  template <class Apply>
  Var<T> value(Tape<B>& tape, const Apply& apply) {
    std::vector<Var<T>> vars;
    for (auto& p : parameters_) vars.push_back(tape.parameter(p));
    return apply(tape, vars, keep_);
  }

  /// The loss of `uses` applications to the same inputs, each with weights of its own. With
  /// `through` the inputs pass through an addition first, so that their gradients meet on the tape.
  template <class Apply>
  Var<T> loss(Tape<B>& tape, const Apply& apply, int uses, bool through = false) {
    std::vector<Var<T>> vars;
    for (auto& p : parameters_) {
      auto v = tape.parameter(p);
      if (through) v = op::add(tape, v, tape.parameter(p), T(0.5));
      vars.push_back(v);
    }
    Var<T> sum;
    for (int use = 0; use < uses; ++use) {
      const auto y = apply(tape, vars, keep_);
      const auto term =
          weighted_sum(tape, y, random_dense(y.rows(), y.cols(), 900 + static_cast<unsigned>(use)));
      sum = use == 0 ? term : op::add(tape, sum, term);
    }
    return sum;
  }

  template <class Apply>
  Outcome run(const Apply& apply) {
    Tape<B> tape(backend_);
    Outcome outcome{to_dense(value(tape, apply).value()), {}};
    tape.reset();
    tape.backward(loss(tape, apply, 1));
    for (auto& p : parameters_) {
      outcome.gradients.push_back(p.has_grad ? to_dense(p.grad)
                                             : Dense(p.value.rows, p.value.cols));
    }
    parameters_.clear_gradients();
    return outcome;
  }

  ParameterSet<B>& parameters() { return parameters_; }

 private:
  B backend_;
  ParameterSet<B> parameters_;
  Keep keep_;
};

/// Value against the naive reference, gradients against finite differences (used once, twice, and
/// through another operation), one input trainable at a time, float against double, and the same
/// bits with 1, 2 and 3 threads.
template <class Op>
void check_operation(const Op& op) {
  const Index tokens = 6;
  const Index width = 8;
  const Inputs small = op.inputs(tokens, width);
  Bench<double> bench(small, 1);
  const Outcome outcome = bench.run(op.apply);

  SUBCASE("value") {
    const Dense expected = op.naive(small);
    // Sums of at most a few hundred products: 1000 roundings of 1.1e-16.
    CHECK(distance(outcome.value, expected) <= 1e-13 * std::max(1.0, largest(expected)));
  }

  SUBCASE("gradients") {
    for (const int uses : {1, 2}) {
      for (const bool through : {false, true}) {
        CAPTURE(uses);
        CAPTURE(through);
        check_gradients(bench.parameters(), [&](Tape<Double>& tape) {
          return bench.loss(tape, op.apply, uses, through);
        });
      }
    }
  }

  SUBCASE("one trainable input") {
    std::size_t index = 0;
    for (auto& only : bench.parameters()) {
      for (auto& p : bench.parameters()) p.trainable = &p == &only;
      CHECK(bench.run(op.apply).gradients[index] == outcome.gradients[index]);
      ++index;
    }
  }

  SUBCASE("float") {
    const Index many = 33;
    const Index wide = 40;
    const Inputs large = op.inputs(many, wide);
    const Outcome exact = Bench<double>(large, 1).run(op.apply);
    const Outcome rounded = Bench<float>(large, 1).run(op.apply);
    const double unit = std::numeric_limits<float>::epsilon() / 2.0;
    const double steps = op.float_steps(many, wide);
    CHECK(distance(rounded.value, exact.value) <=
          steps * unit * std::max(1.0, largest(exact.value)));
    for (std::size_t i = 0; i < large.size(); ++i) {
      CAPTURE(i);
      CHECK(distance(rounded.gradients[i], exact.gradients[i]) <=
            steps * unit * std::max(1.0, largest(exact.gradients[i])));
    }
  }

  SUBCASE("threads") {
    // One row more than some whole blocks of work, so that a thread can be left with it alone.
    for (const auto& [many, wide] : {std::pair<Index, Index>{33, 40}, {97, 96}}) {
      const Inputs large = op.inputs(many, wide);
      const Outcome one = Bench<double>(large, 1).run(op.apply);
      const Outcome one_float = Bench<float>(large, 1).run(op.apply);
      for (const int threads : {2, 3}) {
        CAPTURE(many);
        CAPTURE(threads);
        CHECK(Bench<double>(large, threads).run(op.apply) == one);
        CHECK(Bench<float>(large, threads).run(op.apply) == one_float);
      }
    }
  }
}

}  // namespace branchlora::test
