#include "branchlora/core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

using branchlora::Index;
using branchlora::Random;

TEST_CASE("the first block is Philox-4x32-10's published one for counter 0 and key 0") {
  const Random random(0, 0);
  CHECK(random.bits(0) == 0x6627e8d5U);
  CHECK(random.bits(1) == 0xe169c58dU);
  CHECK(random.bits(2) == 0xbc57ac4cU);
  CHECK(random.bits(3) == 0x9b00dbd8U);
}

TEST_CASE("number i does not depend on what was drawn before") {
  const Random random(5, 9);
  const auto late = random.bits(1000);
  for (std::uint64_t i = 0; i < 100; ++i) random.bits(i);
  CHECK(random.bits(1000) == late);
  CHECK(Random(5, 9).bits(1000) == late);
}

TEST_CASE("seeds, streams and forks differ") {
  const Random random(1);
  const auto word = random.bits(0);
  CHECK(Random(2).bits(0) != word);
  CHECK(Random(1, 1).bits(0) != word);
  CHECK(random.fork(0).bits(0) != word);
  CHECK(random.fork(0).bits(0) != random.fork(1).bits(0));
  CHECK(random.fork("a").bits(0) != random.fork("b").bits(0));
  CHECK(random.fork("name").bits(0) == random.fork(std::string("name")).bits(0));
  // A path of forks is no other path.
  CHECK(random.fork(0).fork(1).bits(0) != random.fork(1).fork(0).bits(0));
}

TEST_CASE("uniform numbers fill [0, 1) evenly") {
  const Random random(3);
  const int n = 100000;
  std::array<int, 10> bins{};
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform(static_cast<std::uint64_t>(i));
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    ++bins[static_cast<std::size_t>(u * 10)];
  }
  // A bin holds 10,000 with a standard deviation of sqrt(1e5 * 0.1 * 0.9) = 95: five of them.
  for (const int count : bins) CHECK(std::abs(count - n / 10) < 475);
  CHECK(random.uniform(7, -2, 6) == -2 + 8 * random.uniform(7));
}

TEST_CASE("normal numbers have mean 0, variance 1 and kurtosis 3") {
  const Random random(4);
  const int n = 100000;
  double first = 0;
  double second = 0;
  double fourth = 0;
  double neighbours = 0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal(static_cast<std::uint64_t>(i));
    first += x / n;
    second += x * x / n;
    fourth += x * x * x * x / n;
    neighbours += x * random.normal(static_cast<std::uint64_t>(i) + 1) / n;
  }
  // Five standard deviations each: 1, sqrt(2), sqrt(96) and 1 over sqrt(n).
  const double root = std::sqrt(static_cast<double>(n));
  CHECK(std::abs(first) < 5 / root);
  CHECK(std::abs(second - 1) < 5 * std::sqrt(2.0) / root);
  CHECK(std::abs(fourth - 3) < 5 * std::sqrt(96.0) / root);
  CHECK(std::abs(neighbours) < 5 / root);
}

TEST_CASE("below reaches every value and no other") {
  const Random random(6);
  std::array<int, 7> counts{};
  for (std::uint64_t i = 0; i < 7000; ++i) {
    const Index k = random.below(i, 7);
    REQUIRE(k >= 0);
    REQUIRE(k < 7);
    ++counts[static_cast<std::size_t>(k)];
  }
  // 1000 each, standard deviation 29.3.
  for (const int count : counts) CHECK(std::abs(count - 1000) < 147);
}

TEST_CASE("a permutation holds each number once, in an order that depends on the seed") {
  for (const Index n : {0, 1, 2, 100}) {
    auto order = Random(8).permutation(n);
    REQUIRE(std::ssize(order) == n);
    std::sort(order.begin(), order.end());
    for (Index i = 0; i < n; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  }
  CHECK(Random(8).permutation(100) == Random(8).permutation(100));
  CHECK(Random(8).permutation(100) != Random(9).permutation(100));
}

TEST_CASE("all six orders of three come equally often") {
  std::array<int, 27> counts{};
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    const auto order = Random(seed).permutation(3);
    ++counts[static_cast<std::size_t>(9 * order[0] + 3 * order[1] + order[2])];
  }
  int orders = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++orders;
    CHECK(std::abs(count - 1000) < 145);  // five standard deviations of sqrt(6000 * 5 / 36)
  }
  CHECK(orders == 6);
}
