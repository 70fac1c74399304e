/// @file
/// Pictures as CLIP and LLaVA want them: resized, cropped or padded to a square, normalised.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/image.hpp"

namespace branchlora::data {

/// How a picture that is not square becomes square.
enum class Squaring {
  CentreCrop,  ///< The shorter side is resized, and of the longer one the middle kept (CLIP).
  Pad,         ///< Filled up with the mean colour on both sides, then resized (LLaVA-1.5).
};

/// What a `preprocessor_config.json` of CLIP says, with the values of CLIP ViT-L/14-336.
struct ClipPreprocessing {
  Index size = 336;  ///< Side of the square that comes out.
  Squaring squaring = Squaring::CentreCrop;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};  ///< Of red, green, blue.
  std::array<double, 3> deviation{0.26862954, 0.26130258, 0.27577711};
};

namespace detail {

/// Keys' cubic kernel with a = -0.5 (Keys, "Cubic convolution interpolation for digital image
/// processing", 1981).
inline double cubic(double x) {
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
inline std::vector<Taps> bicubic_taps(Index from, Index to) {
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
inline Image transpose(const Image& image) {
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
inline Image resize_rows_and_transpose(const Image& image, Index width) {
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

/// `image` resized to `width` x `height` by bicubic interpolation, with low-pass filtering where it
/// shrinks, rounded to 8 bits after each of two passes. The same numbers as Pillow's
/// `resize(..., BICUBIC)`, which takes the rows first, or (from version 13 on) the columns if the
/// height shrinks by more than twice as many pixels as the width.
inline Image resize_bicubic(const Image& image, Index width, Index height) {
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

/// The `width` x `height` pixels of `image` from `left` and `top` on. Both may be negative, and the
/// part larger than the picture: what lies outside has the colour `outside`.
inline Image crop(const Image& image, Index left, Index top, Index width, Index height,
                  std::array<std::uint8_t, 3> outside = {}) {
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

/// `image` as a square of `how.size` pixels, in 8 bits: what Hugging Face's `CLIPImageProcessor`
/// has before it rescales and normalises. Throws `Error` if the picture is empty.
inline Image clip_square(const Image& image, const ClipPreprocessing& how) {
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

/// What CLIP's vision tower takes: `clip_square`, from 0 to 1, less the mean, over the deviation.
/// Row by row, three scalars a pixel (`3 x size x size` in the reference).
inline std::vector<float> clip_pixels(const Image& image, const ClipPreprocessing& how) {
  const Image square = clip_square(image, how);
  std::vector<float> out(square.rgb.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>((square.rgb[i] / 255.0 - how.mean[i % 3]) / how.deviation[i % 3]);
  }
  return out;
}

}  // namespace branchlora::data
