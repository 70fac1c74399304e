/// @file
/// The bodies of `train_cvae.hpp`.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/generator/train_cvae.hpp"

namespace branchlora::generator {

BRANCHLORA_INLINE double largest_magnitude(std::span<const std::vector<double>> vectors) {
  double most = 0;
  for (const auto& v : vectors) {
    for (const double x : v) most = std::max(most, std::abs(x));
  }
  return most;
}

}  // namespace branchlora::generator
