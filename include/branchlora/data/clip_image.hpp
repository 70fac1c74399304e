/// @file
/// Pictures as CLIP and LLaVA want them: resized, cropped or padded to a square, normalised.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

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

/// `image` resized to `width` x `height` by bicubic interpolation, with low-pass filtering where it
/// shrinks, rounded to 8 bits after each of two passes. The same numbers as Pillow's
/// `resize(..., BICUBIC)`, which takes the rows first, or (from version 13 on) the columns if the
/// height shrinks by more than twice as many pixels as the width.
Image resize_bicubic(const Image& image, Index width, Index height);

/// The `width` x `height` pixels of `image` from `left` and `top` on. Both may be negative, and the
/// part larger than the picture: what lies outside has the colour `outside`.
Image crop(const Image& image, Index left, Index top, Index width, Index height,
           std::array<std::uint8_t, 3> outside = {});

/// `image` as a square of `how.size` pixels, in 8 bits: what Hugging Face's `CLIPImageProcessor`
/// has before it rescales and normalises. Throws `Error` if the picture is empty.
Image clip_square(const Image& image, const ClipPreprocessing& how);

/// What CLIP's vision tower takes: `clip_square`, from 0 to 1, less the mean, over the deviation.
/// Row by row, three scalars a pixel (`3 x size x size` in the reference).
std::vector<float> clip_pixels(const Image& image, const ClipPreprocessing& how);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/clip_image-inl.hpp"
#endif
