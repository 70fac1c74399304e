#include "branchlora/model/config.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace branchlora::model;

TEST_CASE("sizes that follow from others") {
  constexpr VisionConfig vision{.image = 48, .kernel = 8, .stride = 6, .width = 128, .merge = 2};
  static_assert(vision.side() == 8 && vision.patches() == 64 && vision.tokens() == 16);
  static_assert(vision.patch_size() == 192 && vision.feature_width() == 512);
  static_assert(DecoderConfig{.width = 160, .heads = 5}.head_size() == 32);
}

TEST_CASE("a shape comes back from its JSON") {
  ModelConfig config;
  config.vision.merge = 4;
  config.decoder.rope_base = 5e5;
  config.decoder.vocabulary = 321;
  CHECK(nlohmann::json::parse(nlohmann::json(config).dump()).get<ModelConfig>() == config);
}
