#include "branchlora/optim/schedule.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace branchlora;

TEST_CASE("a linear ramp, then half a cosine") {
  const WarmupCosine rate{.peak = 2.0, .steps = 14, .warmup = 0.28, .floor = 0.0};
  // ceil(0.28 * 14) = 4 steps of warm-up.
  CHECK(rate(0) == 0.5);
  CHECK(rate(1) == 1.0);
  CHECK(rate(3) == 2.0);
  CHECK(rate(4) == 2.0);
  CHECK(rate(9) == doctest::Approx(1.0));  // Halfway through the other ten.
  CHECK(rate(13) == doctest::Approx(1 + std::cos(0.9 * std::numbers::pi)));
  CHECK(rate(14) == doctest::Approx(0.0));
  CHECK(rate(1000) == doctest::Approx(0.0));
  for (Index step = 4; step < 13; ++step) CHECK(rate(step + 1) < rate(step));
}

TEST_CASE("a floor is a share of the peak") {
  const WarmupCosine rate{.peak = 2.0, .steps = 10, .warmup = 0.0, .floor = 0.25};
  CHECK(rate(0) == 2.0);
  CHECK(rate(10) == doctest::Approx(0.5));
}

TEST_CASE("a schedule of one step is its peak") {
  CHECK(WarmupCosine{.peak = 3.0, .steps = 1}(0) == 3.0);
}

TEST_CASE("clipping brings a norm to its limit, never above") {
  CHECK(clip_factor(4.0, 1.0) == 0.25);
  CHECK(clip_factor(0.5, 1.0) == 1.0);
  CHECK(clip_factor(0.0, 1.0) == 1.0);
}
