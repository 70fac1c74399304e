/// @file
/// From pixels to the rows that the vision tower embeds.
#pragma once

#include <span>

#include "branchlora/core/error.hpp"
#include "branchlora/model/config.hpp"

namespace branchlora::model {

/// Writes the patches of one square image (three scalars a pixel, from 0 to 255 where the pixels
/// are raw) as rows of kernel * kernel * 3 scalars, raw ones brought to -1 to 1; what lies outside
/// of the image is 0. Patches that will be merged into one token follow each other.
template <class T>
void unfold(std::span<const float> rgb, const VisionConfig& config, MatrixView<T> rows) {
  expect(static_cast<Index>(rgb.size()) == config.image * config.image * 3,
         "unfold: expected a colour image of {0} x {0}, found {1} scalars", config.image,
         rgb.size());
  expect_shape(rows, config.patches(), config.patch_size(), "the patches of an image");
  const Index border = (config.kernel - config.stride) / 2;
  const Index blocks = config.side() / config.merge;
  const auto read = [raw = config.raw_pixels](float x) {
    return static_cast<T>(raw ? x / 127.5F - 1.0F : x);
  };
  for (Index i = 0; i < config.patches(); ++i) {
    const Index within = i % (config.merge * config.merge);
    const Index block = i / (config.merge * config.merge);
    const Index py = block / blocks * config.merge + within / config.merge;
    const Index px = block % blocks * config.merge + within % config.merge;
    T* to = rows.row(i);
    for (Index dy = 0; dy < config.kernel; ++dy) {
      const Index y = py * config.stride + dy - border;
      for (Index dx = 0; dx < config.kernel; ++dx, to += 3) {
        const Index x = px * config.stride + dx - border;
        const bool inside = x >= 0 && y >= 0 && x < config.image && y < config.image;
        const float* from = rgb.data() + (inside ? (y * config.image + x) * 3 : 0);
        for (Index c = 0; c < 3; ++c) {
          to[c] = inside ? read(from[c]) : T(0);
        }
      }
    }
  }
}

}  // namespace branchlora::model
