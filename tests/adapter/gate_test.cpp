#include "branchlora/adapter/gate.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

using namespace branchlora;

namespace {

constexpr Index n = 8;

/// Scores of few values, so that many are equal.
std::array<float, n> random_scores(std::mt19937& engine) {
  std::array<float, n> scores;
  for (float& s : scores) s = static_cast<float>(engine() % 5) - 2.0F;
  return scores;
}

}  // namespace

TEST_CASE("all branches in order are a stable sort, what is not allowed last") {
  std::mt19937 engine(1);
  for (int trial = 0; trial < 200; ++trial) {
    const auto scores = random_scores(engine);
    const BranchSet allowed = trial == 0 ? first_branches(n) : engine() % 256;
    std::array<std::int32_t, n> expected;
    std::iota(expected.begin(), expected.end(), 0);
    std::stable_sort(expected.begin(), expected.end(), [&](std::int32_t a, std::int32_t b) {
      if (gate::has(allowed, a) != gate::has(allowed, b)) return gate::has(allowed, a);
      return gate::has(allowed, a) &&
             scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    std::array<std::int32_t, n> found;
    CHECK(gate::top_k<n, n>(scores.data(), allowed, found.data()) == allowed);
    CHECK(found == expected);
    // Those chosen one by one come in the same order.
    std::array<std::int32_t, n - 1> most;
    gate::top_k<n, n - 1>(scores.data(), allowed, most.data());
    CHECK(std::equal(most.begin(), most.end(), expected.begin()));
  }
}

TEST_CASE("scores that are no numbers still choose branches that there are") {
  std::mt19937 engine(2);
  for (int trial = 0; trial < 100; ++trial) {
    auto scores = random_scores(engine);
    for (float& s : scores)
      if (engine() % 2 == 0) s = std::numeric_limits<float>::quiet_NaN();
    std::array<std::int32_t, n> found;
    gate::top_k<n, n>(scores.data(), first_branches(n), found.data());
    CHECK(std::all_of(found.begin(), found.end(), [](auto b) { return b >= 0 && b < n; }));
  }
}
