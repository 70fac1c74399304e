/// @file
/// The sizes of the multimodal model.
#pragma once

#include <nlohmann/json.hpp>

#include "branchlora/core/matrix.hpp"

namespace branchlora::model {

/// A vision transformer over square images. Patches of `kernel` pixels a side lie `stride` apart
/// (overlapping where the kernel is larger, which makes the embedding a short convolution), and
/// `merge` x `merge` neighbouring outputs become one token of the language model.
struct VisionConfig {
  Index image = 48;
  Index kernel = 8;
  Index stride = 6;
  Index width = 128;
  Index layers = 4;
  Index heads = 4;
  Index hidden = 512;
  Index merge = 2;
  double epsilon = 1e-5;

  /// Patches along a side. The image is padded by equal borders of grey where patches overlap it.
  constexpr Index side() const { return image / stride; }
  constexpr Index patches() const { return side() * side(); }
  constexpr Index patch_size() const { return kernel * kernel * 3; }
  /// Tokens of one image in the language model.
  constexpr Index tokens() const { return patches() / (merge * merge); }
  /// Width of such a token before the projector.
  constexpr Index feature_width() const { return width * merge * merge; }

  bool operator==(const VisionConfig&) const = default;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(VisionConfig, image, kernel, stride, width, layers, heads, hidden,
                                 merge, epsilon)
};

/// A LLaMA-style decoder.
struct DecoderConfig {
  Index vocabulary = 1;
  Index width = 160;
  Index layers = 4;
  Index heads = 5;
  Index kv_heads = 5;
  Index hidden = 416;
  Index length = 256;  ///< Positions that there can be.
  double rope_base = 10000.0;
  double epsilon = 1e-6;

  constexpr Index head_size() const { return width / heads; }

  bool operator==(const DecoderConfig&) const = default;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(DecoderConfig, vocabulary, width, layers, heads, kv_heads, hidden,
                                 length, rope_base, epsilon)
};

/// Vision tower, two-layer projector and decoder.
struct ModelConfig {
  VisionConfig vision;
  DecoderConfig decoder;

  bool operator==(const ModelConfig&) const = default;
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(ModelConfig, vision, decoder)
};

}  // namespace branchlora::model
