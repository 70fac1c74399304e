/// @file
/// What must be the same of a training in one process and in several ranks.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "parallel/course.hpp"

namespace branchlora::test {

/// The largest difference that rounding explains. Ranks add the terms of a gradient in another
/// order: a few hundred terms of at most 10 in double, so that gradients differ by 1e-13 at most,
/// as they do here. AdamW divides them by sqrt(v) + 1e-8: in the worst case, v = 0, a step of rate
/// 1e-2 makes 1e-7 of that, and 16 steps, each with weights that differ already, less than 1e-5.
/// A share that is weighed wrongly moves weights by the rate.
inline constexpr double tolerance = 1e-5;

using Weights = std::map<std::string, std::vector<double>>;

inline void check_near(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(found[i] - expected[i]) <= tolerance);
  }
}

inline void check_near(const Weights& found, const Weights& expected) {
  REQUIRE(found.size() == expected.size());
  for (const auto& [name, values] : expected) {
    CAPTURE(name);
    REQUIRE(found.contains(name));
    check_near(found.at(name), values);
  }
}

/// Checks that this rank's weights are those of the first, to the bit.
template <parallel::Communicator C>
void check_same_bits(const Weights& own, const C& ranks) {
  for (const auto& [name, values] : own) {
    CAPTURE(name);
    std::vector<double> first = values;
    ranks.broadcast(std::span(first));
    CHECK(first == values);
  }
}

/// Checks that the traces of all ranks add up to that of one process.
inline void check_same_training(const std::vector<Trace>& ranks, const Trace& one) {
  std::vector<double> losses;
  for (std::size_t step = 0; step < one.losses.size(); ++step) {
    double loss = 0;
    double tokens = 0;
    for (const Trace& t : ranks) {
      loss += t.tokens.at(step) * t.losses.at(step) / one.tokens[step];
      tokens += t.tokens[step];
    }
    CHECK(tokens == one.tokens[step]);
    losses.push_back(loss);
  }
  check_near(losses, one.losses);
  // The shares must not weigh the same, or weights would not be tested.
  CHECK(ranks.front().tokens != ranks.back().tokens);
  for (const Trace& t : ranks) {
    check_near(t.norms, one.norms);
    check_near(t.weights, one.weights);
    CHECK(t.norms == ranks.front().norms);
    CHECK(t.weights == ranks.front().weights);
  }
}

}  // namespace branchlora::test
