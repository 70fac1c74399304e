/// @file
/// How pictures are changed at random.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/data/augment.hpp"
#include "branchlora/data/image.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE std::vector<float> pixels(const Image& image) {
  return {image.rgb.begin(), image.rgb.end()};
}

BRANCHLORA_INLINE std::vector<float> augment(const Image& image, const Augmentation& how,
                                             const Random& random) {
  const auto side = static_cast<double>(image.width);
  const double scale = 1.0 / random.uniform(0, 1 - how.scale, 1 + how.scale);
  const double angle = random.uniform(1, -how.turn, how.turn);
  const double dx = random.uniform(2, -how.shift, how.shift) * side;
  const double dy = random.uniform(3, -how.shift, how.shift) * side;
  float gain[3];
  for (int c = 0; c < 3; ++c) {
    gain[c] = static_cast<float>(
        random.uniform(4 + static_cast<std::uint64_t>(c), how.dimmest, how.brightest));
  }
  const double centre = (side - 1) / 2;
  const auto cosine = static_cast<float>(scale * std::cos(angle));
  const auto sine = static_cast<float>(scale * std::sin(angle));
  const auto limit = static_cast<float>(side - 1);
  std::vector<float> out(image.rgb.size());
  const auto at = [&](Index x, Index y, Index c) {
    return static_cast<float>(image.rgb[static_cast<std::size_t>((y * image.width + x) * 3 + c)]);
  };
  for (Index y = 0; y < image.height; ++y) {
    for (Index x = 0; x < image.width; ++x) {
      const auto px = static_cast<float>(static_cast<double>(x) - centre);
      const auto py = static_cast<float>(static_cast<double>(y) - centre);
      const float sx =
          std::clamp(cosine * px - sine * py + static_cast<float>(centre + dx), 0.0F, limit);
      const float sy =
          std::clamp(sine * px + cosine * py + static_cast<float>(centre + dy), 0.0F, limit);
      const auto x0 = static_cast<Index>(sx);
      const auto y0 = static_cast<Index>(sy);
      const Index x1 = std::min(x0 + 1, image.width - 1);
      const Index y1 = std::min(y0 + 1, image.height - 1);
      const float fx = sx - static_cast<float>(x0);
      const float fy = sy - static_cast<float>(y0);
      for (Index c = 0; c < 3; ++c) {
        const float top = at(x0, y0, c) * (1 - fx) + at(x1, y0, c) * fx;
        const float bottom = at(x0, y1, c) * (1 - fx) + at(x1, y1, c) * fx;
        out[static_cast<std::size_t>((y * image.width + x) * 3 + c)] =
            std::clamp((top * (1 - fy) + bottom * fy) * gain[c], 0.0F, 255.0F);
      }
    }
  }
  return out;
}

}  // namespace branchlora::data
