/// @file
/// Learning rates over time.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// Linear warm-up, then half a cosine down to `floor` of the peak.
struct WarmupCosine {
  double peak = 2e-4;
  Index steps = 1;
  double warmup = 0.03;  ///< Share of the steps, as in CoIN's runs.
  double floor = 0.0;    ///< Share of the peak that is left at the end.

  /// The rate of step `step`, counted from 0.
  double operator()(Index step) const {
    const double ramp = std::max(1.0, std::ceil(warmup * static_cast<double>(steps)));
    const double now = static_cast<double>(step);
    if (now < ramp) return peak * (now + 1) / ramp;
    const double rest = std::max(1.0, static_cast<double>(steps) - ramp);
    const double progress = std::min(1.0, (now - ramp) / rest);
    return peak * (floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress)));
  }
};

/// The factor that brings a gradient of norm `norm` down to `limit`; 1 if it is within.
inline double clip_factor(double norm, double limit) {
  return norm > limit ? limit / norm : 1.0;
}

}  // namespace branchlora
