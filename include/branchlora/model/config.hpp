/// @file
/// The sizes of the multimodal model.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "branchlora/autograd/op/rope.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::op {

void to_json(nlohmann::json& json, const RopeScaling& scaling);
void from_json(const nlohmann::json& json, RopeScaling& scaling);

}  // namespace branchlora::op

namespace branchlora::model {

/// A vision transformer over square images. Patches of `kernel` pixels a side lie `stride` apart
/// (overlapping where the kernel is larger, which makes the embedding a short convolution), and
/// `merge` x `merge` neighbouring outputs become one token of the language model.
struct VisionConfig {
  Index image = 48;  ///< Pixels a side; 0: there is no tower, and the model reads text alone.
  Index kernel = 8;
  Index stride = 6;
  Index width = 128;
  Index layers = 4;
  Index heads = 4;
  Index hidden = 512;
  Index merge = 2;
  double epsilon = 1e-5;
  bool raw_pixels = true;  ///< Pixels come from 0 to 255 and are read as -1 to 1; else as they are.
  bool patch_bias = true;  ///< The patches' embedding has a bias.
  bool class_token = false;  ///< A learned row before the patches, dropped at the end (CLIP).
  bool pre_norm = false;     ///< A layer norm before the first block (CLIP).
  bool quick_gelu = false;   ///< The blocks use CLIP's form of the GELU.
  bool last_norm = true;     ///< A layer norm after the last block.

  constexpr bool present() const { return image > 0; }
  /// Patches along a side. The image is padded by equal borders of grey where patches overlap it.
  constexpr Index side() const { return image / stride; }
  constexpr Index patches() const { return side() * side(); }
  constexpr Index patch_size() const { return kernel * kernel * 3; }
  /// Rows of one image within the tower.
  constexpr Index rows() const { return patches() + (class_token ? 1 : 0); }
  /// Tokens of one image in the language model.
  constexpr Index tokens() const { return patches() / (merge * merge); }
  /// Width of such a token before the projector.
  constexpr Index feature_width() const { return width * merge * merge; }

  bool operator==(const VisionConfig&) const = default;
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
  Index head = 0;                  ///< Width of a head; 0: the heads divide the width.
  bool tied = true;                ///< The output layer is the table of embeddings.
  bool scaled_embeddings = true;   ///< Embeddings enter times the square root of the width.
  op::RopeScaling rope_scaling{};  ///< How positions are stretched over longer texts.

  constexpr Index head_size() const { return head > 0 ? head : width / heads; }

  bool operator==(const DecoderConfig&) const = default;
};

/// Vision tower, two-layer projector and decoder; without the first two, the decoder alone.
struct ModelConfig {
  VisionConfig vision;
  DecoderConfig decoder;

  bool operator==(const ModelConfig&) const = default;
};

/// Every field by its name; of those that older files lack, only what is not as usual: what they
/// say stays what they would say.
void to_json(nlohmann::json& json, const VisionConfig& config);
void to_json(nlohmann::json& json, const DecoderConfig& config);
void to_json(nlohmann::json& json, const ModelConfig& config);

/// What `to_json` wrote. Throws nlohmann's exception if a field is missing or of another type.
void from_json(const nlohmann::json& json, VisionConfig& config);
void from_json(const nlohmann::json& json, DecoderConfig& config);
void from_json(const nlohmann::json& json, ModelConfig& config);

}  // namespace branchlora::model

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/config-inl.hpp"
#endif
