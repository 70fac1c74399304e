#include "branchlora/model/published/clip_config.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "io/temporary_folder.hpp"
#include "settings_text.hpp"

using namespace branchlora;
using model::published::ClipVision;
using model::published::Settings;
using test::check_mentions;
using test::error_of;

namespace {

/// What LLaVA-1.5 says of CLIP ViT-L/14-336.
constexpr const char* large = R"({
  "hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
  "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 24,
  "patch_size": 14, "projection_dim": 768, "vocab_size": 32000})";

ClipVision read(const io::Json& json, Index layer = -2) {
  return model::published::read_clip_vision(Settings(json, "config.json"), layer);
}

io::Json with(const char* changes) { return test::with_changes(large, changes); }

std::string refusal(const io::Json& json, Index layer = -2) {
  return error_of([&] { read(json, layer); });
}

}  // namespace

TEST_CASE("the tower of LLaVA-1.5") {
  const ClipVision vision = read(with("{}"));
  CHECK(vision.blocks == 24);
  CHECK(vision.config == model::VisionConfig{.image = 336,
                                             .kernel = 14,
                                             .stride = 14,
                                             .width = 1024,
                                             .layers = 23,
                                             .heads = 16,
                                             .hidden = 4096,
                                             .merge = 1,
                                             .epsilon = 1e-5,
                                             .raw_pixels = false,
                                             .patch_bias = false,
                                             .class_token = true,
                                             .pre_norm = true,
                                             .quick_gelu = true,
                                             .last_norm = false});
  CHECK(vision.config.tokens() == 576);
  CHECK(vision.config.rows() == 577);
  CHECK(vision.config.feature_width() == 1024);
}

TEST_CASE("a file of both towers") {
  io::Json json{{"model_type", "clip"},
                {"vision_config", with("{}")},
                {"vision_config_dict", {{"hidden_size", 1024}, {"patch_size", 14}}},
                {"text_config", {{"hidden_size", 768}, {"model_type", "clip_text_model"}}},
                {"logit_scale_init_value", 2.6592},
                {"projection_dim", 768}};
  CHECK(read(json).config == read(with("{}")).config);
  json["vision_config_dict"]["patch_size"] = 16;
  check_mentions(refusal(json), "vision_config_dict", "vision_config", "others");
  json.erase("vision_config_dict");
  json["vision_config"]["rotary"] = true;
  check_mentions(refusal(json), "config.json: vision_config: rotary", "not known");
}

TEST_CASE("hidden states are counted as transformers counts them") {
  CHECK(read(with("{}"), -1).config.layers == 24);
  CHECK(read(with("{}"), 24).config.layers == 24);
  CHECK(read(with("{}"), 3).config.layers == 3);
  CHECK(read(with("{}"), 0).config.layers == 0);
  CHECK(read(with("{}"), -25).config.layers == 0);
  check_mentions(refusal(with("{}"), 25), "vision_feature_layer", "-25 to 24", "found 25");
  check_mentions(refusal(with("{}"), -26), "vision_feature_layer", "found -26");
}

TEST_CASE("what is absent is as transformers has it: CLIP ViT-B/32") {
  const auto c = read(io::parse_json("{}", "empty"), -1).config;
  CHECK(c.image == 224);
  CHECK(c.kernel == 32);
  CHECK(c.width == 768);
  CHECK(c.layers == 12);
  CHECK(c.heads == 12);
  CHECK(c.hidden == 3072);
  CHECK(c.quick_gelu);
  CHECK_FALSE(read(with(R"({"hidden_act": "gelu"})")).config.quick_gelu);
}

TEST_CASE("settings that would make another tower, or contradict each other") {
  check_mentions(refusal(with(R"({"model_type": "siglip_vision_model"})")), "model_type", "clip",
                 "siglip");
  check_mentions(refusal(with(R"({"hidden_act": "silu"})")), "hidden_act", "quick_gelu", "silu");
  check_mentions(refusal(with(R"({"num_channels": 1})")), "num_channels", "expected 3");
  check_mentions(refusal(with(R"({"num_attention_heads": 15})")), "hidden_size",
                 "multiple of the 15 heads", "1024");
  check_mentions(refusal(with(R"({"patch_size": 400})")), "patch_size", "336", "400");
  check_mentions(refusal(with(R"({"attention_dropout": 0.5})")), "attention_dropout", "0.5");
  check_mentions(refusal(with(R"({"image_size": [336, 224]})")), "image_size", "whole number");
}
