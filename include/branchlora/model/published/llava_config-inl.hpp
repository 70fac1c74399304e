/// @file
/// The bodies of `llava_config.hpp`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/model/published/llava_config.hpp"

namespace branchlora::model::published {

BRANCHLORA_INLINE bool is_original_llava(const Settings& settings) {
  return settings.has("mm_vision_tower");
}

BRANCHLORA_INLINE Llava read_llava(Settings settings) {
  settings.expect_only<std::string>("model_type", "llava");
  Llava llava;
  settings.expect_only<std::string>("vision_feature_select_strategy", "default");
  llava.vision = read_clip_vision(settings.object("vision_config"),
                                  settings.take<Index>("vision_feature_layer", -2));
  llava.decoder = read_llama(settings.object("text_config"));
  expect(llava.decoder.tied || !settings.take<bool>("tie_word_embeddings", false),
         "{}: tie_word_embeddings: expected false as in text_config, found true", settings.where());
  settings.expect_only<std::string>("projector_hidden_act", "gelu");
  settings.expect_only("multimodal_projector_bias", true);
  settings.expect_only("image_seq_length", llava.vision.config.patches());
  settings.expect_only("vocab_size", llava.decoder.vocabulary);
  const Index token =
      settings.take<Index>("image_token_index", settings.take<Index>("image_token_id", 32000));
  expect(token >= 0 && token < llava.decoder.vocabulary,
         "{}: image_token_index: expected a token below the vocab_size {}, found {}",
         settings.where(), llava.decoder.vocabulary, token);
  llava.image_token = static_cast<std::int32_t>(token);
  settings.expect_no_other();
  return llava;
}

BRANCHLORA_INLINE Llava read_original_llava(Settings settings, Settings vision) {
  const auto type = settings.take<std::string>("model_type", "llava");
  expect(type == "llava" || type == "llava_llama",
         "{}: model_type: expected \"llava\" or \"llava_llama\", found \"{}\"", settings.where(),
         type);
  Llava llava;
  llava.decoder = take_llama(settings);
  settings.pass("mm_vision_tower");
  llava.vision =
      read_clip_vision(std::move(vision), settings.take<Index>("mm_vision_select_layer", -2),
                       "the mm_vision_select_layer of LLaVA");
  settings.expect_only("mm_hidden_size", llava.vision.config.width);
  settings.expect_only<std::string>("mm_projector_type", "mlp2x_gelu");
  settings.expect_only<std::string>("mm_vision_select_feature", "patch");
  settings.expect_only<std::string>("mm_patch_merge_type", "flat");
  settings.expect_only("use_mm_proj", true);
  for (const char* key : {"mm_use_im_start_end", "mm_use_im_patch_token"}) {
    settings.expect_only(key, false);
  }
  for (const char* key :
       {"freeze_mm_mlp_adapter", "freeze_mm_vision_resampler", "tune_mm_mlp_adapter",
        "tune_mm_vision_resampler", "unfreeze_mm_vision_tower", "mm_projector_lr",
        "mm_vision_tower_lr", "pretrain_mm_mlp_adapter"}) {
    settings.pass(key);  // how it was trained
  }
  const auto aspect = settings.take<std::string>("image_aspect_ratio", "square");
  expect(aspect == "square" || aspect == "pad",
         "{}: image_aspect_ratio: expected \"square\" or \"pad\", found \"{}\"", settings.where(),
         aspect);
  llava.squaring = aspect == "pad" ? data::Squaring::Pad : data::Squaring::CentreCrop;
  settings.expect_no_other();
  return llava;
}

}  // namespace branchlora::model::published
