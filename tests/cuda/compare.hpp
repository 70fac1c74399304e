/// @file
/// Results of one backend against those of another.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "cuda/results.hpp"

namespace branchlora::test {

/// How far a result may be from the exact one, relative to its largest element: roundings of a sum
/// of n terms add up to sqrt(n) units typically, of which ten times are allowed, and each function
/// of the library (exp, erf) may be off by a dozen units.
inline double tolerance(double depth, double unit) { return (10 * std::sqrt(depth) + 24) * unit; }

/// Checks results in the precision of T against those in double.
template <class T>
void check_same(const Entry& found, const Entry& expected) {
  CAPTURE(found.name);
  REQUIRE(found.results.size() == expected.results.size());
  const double unit = std::numeric_limits<T>::epsilon() / 2;
  for (std::size_t i = 0; i < found.results.size(); ++i) {
    CAPTURE(i);
    const Dense& exact = expected.results[i];
    CHECK(distance(found.results[i], exact) <=
          tolerance(found.depth, unit) * std::max(1.0, largest(exact)));
  }
}

template <class T>
void check_same(const Entries& found, const Entries& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) check_same<T>(found[i], expected[i]);
}

}  // namespace branchlora::test
