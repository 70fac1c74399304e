/// @file
/// The bodies of `cvae.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/generator/cvae.hpp"

namespace branchlora::generator {

BRANCHLORA_INLINE Index CvaeConfig::padded() const {
  const Index unit = Index{1} << stages();
  return (length + unit - 1) / unit * unit;
}

BRANCHLORA_INLINE Index CvaeConfig::parameters() const {
  Index total = kernel * channels.front() + 1;  // the last convolution, to one channel
  const auto stage = [&](Index in, Index out) { total += kernel * in * out + 3 * out; };
  const auto dense = [&](Index in, Index out) { total += in * out + out; };
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const Index before = i == 0 ? 1 : channels[i - 1];
    stage(before, channels[i]);
    stage(channels[i], i == 0 ? channels.front() : before);
  }
  dense(features(), latent);
  dense(latent + condition, latent);
  dense(latent + condition, latent);
  dense(latent + condition, features());
  return total;
}

BRANCHLORA_INLINE void CvaeConfig::check() const {
  expect(length > 0 && condition > 0 && latent > 0,
         "CVAE: expected positive sizes, found length {}, condition {} and latent {}", length,
         condition, latent);
  expect(
      stages() > 0 && stages() < 32 && std::ranges::all_of(channels, [](Index c) { return c > 0; }),
      "CVAE: expected 1 to 31 stages of at least one channel, found channels [{}]",
      fmt::join(channels, ", "));
}

}  // namespace branchlora::generator
