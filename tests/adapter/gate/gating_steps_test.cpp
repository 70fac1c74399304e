#include "branchlora/adapter/gate/gating_steps.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <type_traits>

using namespace branchlora;

namespace {

constexpr Index n = 8;

/// Scores of few values, so that many are equal; minus infinity is one of them.
std::array<float, n> random_scores(std::mt19937& engine) {
  std::array<float, n> scores;
  for (float& s : scores) {
    s = static_cast<float>(engine() % 5) - 2.0F;
    if (engine() % 8 == 0) s = -std::numeric_limits<float>::infinity();
  }
  return scores;
}

template <Index K>
std::array<std::int32_t, K> best(const std::array<float, n>& scores, BranchSet allowed) {
  std::array<std::int32_t, K> chosen;
  gating::top_k<n, K>(scores.data(), allowed, chosen.data());
  return chosen;
}

/// Whether the k best of `scores` are branches that there are, and no two the same.
template <Index K>
bool chooses_branches(const std::array<float, n>& scores, BranchSet allowed) {
  auto found = best<K>(scores, allowed);
  std::sort(found.begin(), found.end());
  return found.front() >= 0 && found.back() < n &&
         std::adjacent_find(found.begin(), found.end()) == found.end();
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
      if (contains(allowed, a) != contains(allowed, b)) return contains(allowed, a);
      return contains(allowed, a) &&
             scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    std::array<std::int32_t, n> found;
    CHECK(gating::top_k<n, n>(scores.data(), allowed, found.data()) == allowed);
    CHECK(found == expected);
    // Those chosen one by one come in the same order.
    const auto most = best<n - 1>(scores, allowed);
    CHECK(std::equal(most.begin(), most.end(), expected.begin()));
    const auto two = best<2>(scores, allowed);
    CHECK(std::equal(two.begin(), two.end(), expected.begin()));
  }
}

TEST_CASE("scores that are no numbers still choose branches that there are") {
  std::mt19937 engine(2);
  for (int trial = 0; trial < 100; ++trial) {
    auto scores = random_scores(engine);
    for (float& s : scores)
      if (engine() % 2 == 0) s = std::numeric_limits<float>::quiet_NaN();
    const BranchSet allowed = trial == 0 ? first_branches(n) : engine() % 256;
    CHECK(chooses_branches<n>(scores, allowed));
    CHECK(chooses_branches<1>(scores, allowed));
    CHECK(chooses_branches<3>(scores, allowed));
  }
}

TEST_CASE("the softmax of those chosen has the bits of the softmax over their set") {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  const auto same = [&]<Index K>(std::integral_constant<Index, K>) {
    for (int trial = 0; trial < 200; ++trial) {
      std::array<float, n> logits, expected, found;
      for (float& l : logits) l = normal(engine);
      const BranchSet allowed = trial == 0 ? first_branches(n) : engine() % 255 + 1;
      std::array<std::int32_t, K> chosen;
      const BranchSet kept = gating::top_k<n, K>(logits.data(), allowed, chosen.data());
      gating::softmax<n>(logits.data(), kept, expected.data());
      gating::softmax_of_chosen<n, K>(logits.data(), kept, chosen.data(), found.data());
      CHECK(found == expected);
    }
  };
  same(std::integral_constant<Index, 1>());
  same(std::integral_constant<Index, 2>());
  same(std::integral_constant<Index, 5>());
  same(std::integral_constant<Index, n>());
}
