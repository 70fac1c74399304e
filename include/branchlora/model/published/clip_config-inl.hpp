/// @file
/// The bodies of `clip_config.hpp`.
#pragma once

#include <string>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/model/published/clip_config.hpp"

namespace branchlora::model::published {

namespace detail {

/// How many blocks come before hidden state `layer`, counted as transformers does: 0 is what enters
/// the first block, -1 what leaves the last.
BRANCHLORA_INLINE Index blocks_before(Index layer, Index blocks, const std::string& where,
                                      const char* setting) {
  const Index before = layer < 0 ? blocks + 1 + layer : layer;
  expect(before >= 0 && before <= blocks, "{}: {}: expected {} to {}, found {}", where, setting,
         -1 - blocks, blocks, layer);
  return before;
}

/// Reads an object of type `clip_vision_model`; all its blocks are used.
BRANCHLORA_INLINE ClipVision take_clip_vision(Settings& settings) {
  settings.expect_only<std::string>("model_type", "clip_vision_model");
  VisionConfig c;
  c.image = settings.take_size("image_size", 224);
  c.kernel = c.stride = settings.take_size("patch_size", 32);
  c.width = settings.take_size("hidden_size", 768);
  c.layers = settings.take_size("num_hidden_layers", 12, most_blocks);
  c.heads = settings.take_size("num_attention_heads", 12);
  c.hidden = settings.take_size("intermediate_size", 3072);
  c.epsilon = settings.take_positive("layer_norm_eps", 1e-5);
  expect(c.width % c.heads == 0, "{}: hidden_size: expected a multiple of the {} heads, found {}",
         settings.where(), c.heads, c.width);
  expect(c.kernel <= c.image, "{}: patch_size: expected at most the image_size {}, found {}",
         settings.where(), c.image, c.kernel);
  c.merge = 1;
  c.raw_pixels = c.patch_bias = c.last_norm = false;
  c.class_token = c.pre_norm = true;
  const auto activation = settings.take<std::string>("hidden_act", "quick_gelu");
  expect(activation == "quick_gelu" || activation == "gelu",
         "{}: hidden_act: expected \"quick_gelu\" or \"gelu\", found \"{}\"", settings.where(),
         activation);
  c.quick_gelu = activation == "quick_gelu";
  settings.expect_only<Index>("num_channels", 3);
  settings.expect_only("attention_dropout", 0.0);
  settings.expect_only("dropout", 0.0);
  settings.pass("projection_dim");  // of the projection beside the text tower, which is not read
  settings.pass("vocab_size");
  settings.expect_no_other();
  return {c, c.layers};
}

}  // namespace detail

BRANCHLORA_INLINE ClipVision read_clip_vision(Settings settings, Index layer, const char* setting) {
  const auto type = settings.take<std::string>("model_type", "clip_vision_model");
  expect(type == "clip_vision_model" || type == "clip",
         "{}: model_type: expected \"clip_vision_model\" or \"clip\", found \"{}\"",
         settings.where(), type);
  const std::string where = settings.where();
  const auto read = [&] {
    if (type == "clip_vision_model") return detail::take_clip_vision(settings);
    Settings half = settings.object("vision_config");
    const ClipVision vision = detail::take_clip_vision(half);
    if (settings.has("vision_config_dict")) {
      Settings old = settings.object("vision_config_dict");
      expect(half.includes(old), "{}: expected the values of vision_config, found others",
             old.where());
    }
    for (const char* key :
         {"text_config", "text_config_dict", "projection_dim", "logit_scale_init_value"}) {
      settings.pass(key);
    }
    settings.expect_no_other();
    return vision;
  };
  ClipVision vision = read();
  vision.config.layers = detail::blocks_before(layer, vision.blocks, where, setting);
  return vision;
}

}  // namespace branchlora::model::published
