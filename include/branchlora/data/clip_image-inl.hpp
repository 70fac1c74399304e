/// @file
/// How pictures are resized, cropped and normalised.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/clip_image.hpp"
#include "branchlora/data/image.hpp"

namespace branchlora::data {

namespace detail {

/// Keys' cubic kernel with a = -0.5 (Keys, "Cubic convolution interpolation for digital image
/// processing", 1981).
BRANCHLORA_INLINE double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

/// Which pixels of a line make one pixel of the resized line, with their weights in 2^-22.
struct Taps {
  Index first = 0;
  std::vector<std::int32_t> weights;
};

/// The taps of each pixel where a line of `from` pixels becomes one of `to`. When it gets shorter
/// the kernel gets as much wider, so that no pixel is lost.
BRANCHLORA_INLINE std::vector<Taps> bicubic_taps(Index from, Index to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0);
  const double support = 2 * stretch;
  std::vector<Taps> taps;
  for (Index i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = static_cast<Index>(std::max(centre - support + 0.5, 0.0));
    const Index end = std::min(static_cast<Index>(centre + support + 0.5), from);
    std::vector<double> weights;
    double sum = 0;
    for (Index k = first; k < end; ++k) {
      weights.push_back(cubic((static_cast<double>(k) - centre + 0.5) * (1 / stretch)));
      sum += weights.back();
    }
    Taps& all = taps.emplace_back(Taps{first, {}});
    for (const double weight : weights) {
      all.weights.push_back(static_cast<std::int32_t>(std::lround(weight / sum * (1 << 22))));
    }
  }
  return taps;
}

/// Rows become columns.
BRANCHLORA_INLINE Image transpose(const Image& image) {
  Image out{image.height, image.width, std::vector<std::uint8_t>(image.rgb.size())};
  for (Index y = 0; y < image.height; ++y) {
    for (Index x = 0; x < image.width; ++x) {
      std::copy_n(image.rgb.data() + 3 * (y * image.width + x), 3,
                  out.rgb.data() + 3 * (x * image.height + y));
    }
  }
  return out;
}

/// `image` with its rows resized to `width` pixels, rounded to 8 bits, and then transposed.
BRANCHLORA_INLINE Image resize_rows_and_transpose(const Image& image, Index width) {
  const auto taps = bicubic_taps(image.width, width);
  Image out{image.height, width,
            std::vector<std::uint8_t>(static_cast<std::size_t>(3 * image.height * width))};
  for (Index y = 0; y < image.height; ++y) {
    const std::uint8_t* row = image.rgb.data() + 3 * y * image.width;
    for (Index x = 0; x < width; ++x) {
      const auto& [first, weights] = taps[static_cast<std::size_t>(x)];
      for (Index c = 0; c < 3; ++c) {
        std::int32_t sum = 1 << 21;
        const std::uint8_t* pixel = row + 3 * first + c;
        for (const std::int32_t weight : weights) {
          sum += weight * *pixel;
          pixel += 3;
        }
        out.rgb[static_cast<std::size_t>(3 * (x * image.height + y) + c)] =
            static_cast<std::uint8_t>(std::clamp(sum >> 22, 0, 255));
      }
    }
  }
  return out;
}

}  // namespace detail

BRANCHLORA_INLINE Image resize_bicubic(const Image& image, Index width, Index height) {
  expect(image.width > 0 && image.height > 0 && width > 0 && height > 0,
         "resize: expected pictures of at least one pixel, found {} x {} to {} x {}", image.width,
         image.height, width, height);
  const auto rows_first = [](const Image& from, Index w, Index h) {
    return detail::resize_rows_and_transpose(detail::resize_rows_and_transpose(from, w), h);
  };
  const Index shrinks = image.height - height;
  if (shrinks <= 0 || shrinks <= 2 * (image.width - width)) return rows_first(image, width, height);
  return detail::transpose(rows_first(detail::transpose(image), height, width));
}

BRANCHLORA_INLINE Image crop(const Image& image, Index left, Index top, Index width, Index height,
                             std::array<std::uint8_t, 3> outside) {
  Image out{width, height, {}};
  out.rgb.reserve(static_cast<std::size_t>(3 * width * height));
  for (Index y = top; y < top + height; ++y) {
    for (Index x = left; x < left + width; ++x) {
      const bool inside = x >= 0 && y >= 0 && x < image.width && y < image.height;
      const std::uint8_t* pixel =
          inside ? image.rgb.data() + 3 * (y * image.width + x) : outside.data();
      out.rgb.insert(out.rgb.end(), pixel, pixel + 3);
    }
  }
  return out;
}

BRANCHLORA_INLINE Image clip_square(const Image& image, const ClipPreprocessing& how) {
  expect(image.width > 0 && image.height > 0,
         "CLIP preprocessing: expected a picture of at least one pixel, found {} x {}", image.width,
         image.height);
  if (how.squaring == Squaring::Pad) {
    std::array<std::uint8_t, 3> colour{};
    for (std::size_t c = 0; c < 3; ++c) {
      colour[c] = static_cast<std::uint8_t>(how.mean[c] * 255);
    }
    const Index side = std::max(image.width, image.height);
    const Image padded =
        crop(image, -((side - image.width) / 2), -((side - image.height) / 2), side, side, colour);
    return resize_bicubic(padded, how.size, how.size);
  }
  const Index shorter = std::min(image.width, image.height);
  const auto resized = [&](Index side) { return how.size * side / shorter; };
  const Image whole = resize_bicubic(image, resized(image.width), resized(image.height));
  return crop(whole, (whole.width - how.size) / 2, (whole.height - how.size) / 2, how.size,
              how.size);
}

BRANCHLORA_INLINE std::vector<float> clip_pixels(const Image& image, const ClipPreprocessing& how) {
  const Image square = clip_square(image, how);
  std::vector<float> out(square.rgb.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>((square.rgb[i] / 255.0 - how.mean[i % 3]) / how.deviation[i % 3]);
  }
  return out;
}

}  // namespace branchlora::data
