#include "branchlora/model/published/llava_config.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "io/temporary_folder.hpp"
#include "settings_text.hpp"

using namespace branchlora;
using model::published::Llava;
using model::published::Settings;
using test::check_mentions;
using test::error_of;

namespace {

/// The 7B model as transformers' converter left it.
constexpr const char* converted = R"({
  "architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100,
  "image_token_index": 32000, "model_type": "llava", "pad_token_id": 32001,
  "projector_hidden_act": "gelu",
  "text_config": {"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"],
    "max_position_embeddings": 4096, "model_type": "llama", "rms_norm_eps": 1e-05,
    "torch_dtype": "float16", "vocab_size": 32064},
  "tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.36.0.dev0",
  "vision_config": {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
    "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 24,
    "patch_size": 14, "projection_dim": 768, "vocab_size": 32000},
  "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "vocab_size": 32064})";

/// The same as its authors wrote it.
constexpr const char* original = R"({
  "_name_or_path": "llava-v1.5-7b", "architectures": ["LlavaLlamaForCausalLM"], "bos_token_id": 1,
  "eos_token_id": 2, "freeze_mm_mlp_adapter": false, "freeze_mm_vision_resampler": false,
  "hidden_act": "silu", "hidden_size": 4096, "image_aspect_ratio": "pad",
  "initializer_range": 0.02, "intermediate_size": 11008, "max_length": 4096,
  "max_position_embeddings": 4096, "mm_hidden_size": 1024, "mm_projector_type": "mlp2x_gelu",
  "mm_resampler_type": null, "mm_use_im_patch_token": false, "mm_use_im_start_end": false,
  "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2,
  "mm_vision_tower": "openai/clip-vit-large-patch14-336", "model_type": "llava",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 0,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null, "tie_word_embeddings": false,
  "torch_dtype": "float16", "transformers_version": "4.31.0", "tune_mm_mlp_adapter": false,
  "tune_mm_vision_resampler": false, "unfreeze_mm_vision_tower": false, "use_cache": true,
  "use_mm_proj": true, "vocab_size": 32000})";

Llava read_converted(const char* changes) {
  const io::Json json = test::with_changes(converted, changes);
  return model::published::read_llava(Settings(json, "config.json"));
}

Llava read_original(const char* changes) {
  const io::Json json = test::with_changes(original, changes);
  const io::Json tower = io::parse_json(converted, "tower")["vision_config"];
  return model::published::read_original_llava(Settings(json, "config.json"),
                                               Settings(tower, "tower.json"));
}

std::string refusal(auto read, const char* changes) {
  return error_of([&] { read(changes); });
}

}  // namespace

TEST_CASE("the 7B model, in both forms") {
  const Llava a = read_converted("{}");
  const Llava b = read_original("{}");
  CHECK(a.vision.config == b.vision.config);
  CHECK(a.vision.blocks == 24);
  CHECK(a.vision.config.layers == 23);
  CHECK(a.decoder.vocabulary == 32064);
  CHECK(b.decoder.vocabulary == 32000);
  CHECK(a.decoder.length == 4096);
  CHECK(a.decoder.hidden == b.decoder.hidden);
  CHECK(a.decoder.epsilon == b.decoder.epsilon);
  CHECK(a.image_token == 32000);
  CHECK(b.image_token == -200);
  CHECK(b.squaring == data::Squaring::Pad);
  CHECK(read_original(R"({"image_aspect_ratio": null})").squaring == data::Squaring::CentreCrop);
  CHECK(read_converted(R"({"vision_feature_layer": 4})").vision.config.layers == 4);
  CHECK(read_original(R"({"mm_vision_select_layer": -1})").vision.config.layers == 24);
  CHECK(read_converted(R"({"image_seq_length": 576, "image_token_index": 7})").image_token == 7);
}

TEST_CASE("which form a file has") {
  CHECK(model::published::is_original_llava({test::with_changes(original, "{}"), "config.json"}));
  CHECK_FALSE(
      model::published::is_original_llava({test::with_changes(converted, "{}"), "config.json"}));
}

TEST_CASE("a converted file that asks for what is not supported, or contradicts itself") {
  const auto refused = [](const char* changes) { return refusal(read_converted, changes); };
  check_mentions(refused(R"({"vision_feature_select_strategy": "full"})"),
                 "vision_feature_select_strategy", "\"default\"", "\"full\"");
  check_mentions(refused(R"({"vision_feature_layer": 99})"), "vision_feature_layer", "found 99");
  check_mentions(refused(R"({"vision_feature_layer": [-2, -5]})"), "vision_feature_layer",
                 "whole number", "[-2,-5]");
  check_mentions(refused(R"({"projector_hidden_act": "relu"})"), "projector_hidden_act", "\"gelu\"",
                 "\"relu\"");
  check_mentions(refused(R"({"multimodal_projector_bias": false})"), "multimodal_projector_bias",
                 "expected true");
  check_mentions(refused(R"({"image_seq_length": 577})"), "image_seq_length", "expected 576",
                 "found 577");
  check_mentions(refused(R"({"vocab_size": 32000})"), "vocab_size", "expected 32064");
  check_mentions(refused(R"({"image_token_index": 40000})"), "image_token_index", "32064", "40000");
  check_mentions(refused(R"({"tie_word_embeddings": true})"), "tie_word_embeddings",
                 "as in text_config");
  check_mentions(refused(R"({"text_config": {"model_type": "mistral"}})"),
                 "config.json: text_config: model_type", "mistral");
  check_mentions(refused(R"({"text_config": {"qk_norm": true}})"),
                 "config.json: text_config: qk_norm", "not known");
  check_mentions(refused(R"({"vision_config": {"num_channels": 4}})"),
                 "config.json: vision_config: num_channels", "expected 3");
  check_mentions(refused(R"({"image_grid_pinpoints": [[336, 672]]})"), "image_grid_pinpoints",
                 "not known");
}

TEST_CASE("an original file that asks for what is not supported, or contradicts itself") {
  const auto refused = [](const char* changes) { return refusal(read_original, changes); };
  check_mentions(refused(R"({"mm_projector_type": "linear"})"), "mm_projector_type",
                 "\"mlp2x_gelu\"", "\"linear\"");
  check_mentions(refused(R"({"mm_vision_select_feature": "cls_patch"})"),
                 "mm_vision_select_feature", "\"patch\"", "\"cls_patch\"");
  check_mentions(refused(R"({"mm_vision_select_layer": 30})"), "mm_vision_select_layer",
                 "found 30");
  check_mentions(refused(R"({"mm_hidden_size": 768})"), "mm_hidden_size", "expected 1024", "768");
  check_mentions(refused(R"({"mm_use_im_start_end": true})"), "mm_use_im_start_end",
                 "expected false");
  check_mentions(refused(R"({"mm_patch_merge_type": "spatial_unpad"})"), "mm_patch_merge_type",
                 "\"flat\"");
  check_mentions(refused(R"({"image_aspect_ratio": "anyres"})"), "image_aspect_ratio", "\"pad\"",
                 "\"anyres\"");
  check_mentions(refused(R"({"mm_resampler_type": "perceiver"})"), "mm_resampler_type",
                 "not known");
  check_mentions(refused(R"({"model_type": "llava_mistral"})"), "model_type", "llava_mistral");
  check_mentions(refused(R"({"hidden_act": "gelu"})"), "hidden_act", "\"silu\"");
}
