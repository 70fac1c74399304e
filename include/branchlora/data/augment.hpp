/// @file
/// Random changes of pictures for training.
#pragma once

#include <vector>

#include "branchlora/core/random.hpp"
#include "branchlora/data/image.hpp"

namespace branchlora::data {

/// How far `augment` goes. The defaults are those of MiniCoIN's learnability study.
struct Augmentation {
  double scale = 0.1;      ///< Enlarged or reduced by up to this share.
  double turn = 0.12;      ///< Turned by up to this angle, in radians.
  double shift = 0.04;     ///< Moved by up to this share of a side.
  double dimmest = 0.85;   ///< Each colour is multiplied by a factor from here ...
  double brightest = 1.1;  ///< ... to here.
};

/// The pixels of an image as scalars from 0 to 255, row by row, three a pixel.
std::vector<float> pixels(const Image& image);

/// The pixels of a square image after a random similarity transform (bilinear, with the border
/// repeated) and a random gain of each colour. Draws from `random` alone.
std::vector<float> augment(const Image& image, const Augmentation& how, const Random& random);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/augment-inl.hpp"
#endif
