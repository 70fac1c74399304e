#include "branchlora/core/math.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

namespace math = branchlora::math;

TEST_CASE("exp in float is right to 3e-7 over its whole range") {
  double worst = 0;
  for (int i = -870000; i <= 880000; ++i) {
    const float x = static_cast<float>(i) * 1e-4F;
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::abs(static_cast<double>(math::exp(x)) - exact) / exact);
  }
  CHECK(worst < 3e-7);
  CHECK(worst > 1e-8);  // It is float after all.
}

TEST_CASE("exp in float is clamped, and 1 at 0") {
  CHECK(math::exp(0.0F) == 1.0F);
  CHECK(math::exp(-1e30F) == math::exp(-87.0F));
  CHECK(math::exp(-1e30F) < 2e-38F);
  CHECK(math::exp(1e30F) == math::exp(88.0F));
  CHECK(std::isfinite(math::exp(1e30F)));
}

TEST_CASE("erf in float is right to 5e-7, odd and bounded") {
  double worst = 0;
  for (int i = -60000; i <= 60000; ++i) {
    const float x = static_cast<float>(i) * 1e-4F;
    worst = std::max(
        worst, std::abs(static_cast<double>(math::erf(x)) - std::erf(static_cast<double>(x))));
    CHECK_UNARY(math::erf(x) == -math::erf(-x) || std::abs(x) == 0);
  }
  CHECK(worst < 5e-7);
  CHECK(math::erf(20.0F) == 1.0F);
}

TEST_CASE("the double forms are the standard library's") {
  for (const double x : {-700.0, -3.25, -1e-9, 0.0, 0.5, 2.0, 80.0}) {
    CHECK(math::exp(x) == std::exp(x));
    CHECK(math::erf(x) == std::erf(x));
  }
}

TEST_CASE("sigmoid is its definition, finite at both ends") {
  CHECK(math::sigmoid(0.0) == 0.5);
  CHECK(math::sigmoid(std::log(3.0)) == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(math::sigmoid(1e4F) == 1.0F);
  CHECK(math::sigmoid(-1e4F) >= 0.0F);
  CHECK(math::sigmoid(-1e4F) < 1e-37F);
  CHECK(math::sigmoid(-1e4) == 0.0);
}
