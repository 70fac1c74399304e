// Any bytes are refused with an `Error`, or are the settings of a published model, of whose tensors
// the names and shapes can be told.
#include "branchlora/model/published/llava_config.hpp"

#include <nlohmann/json.hpp>
#include "branchlora/model/published/weights.hpp"
#include "input.hpp"

namespace {

using namespace branchlora;
using namespace branchlora::model;

void check(const DecoderConfig& decoder) {
  published::WeightMap map;
  map.add_llama(decoder, "model.", "lm_head.weight");
  fuzz::require(decoder.head_size() > 0 && decoder.heads % decoder.kv_heads == 0);
}

void check(const published::ClipVision& vision) {
  published::WeightMap map;
  map.add_clip(vision.config, vision.blocks, "");
  fuzz::require(vision.config.patches() > 0 && vision.config.layers <= vision.blocks);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  fuzz::attempt([&] {
    const auto json = io::parse_json(fuzz::as_text(bytes, size), "input");
    const published::Settings settings(json, "input");
    fuzz::attempt([&] { check(published::read_llama(settings)); });
    fuzz::attempt([&] { check(published::read_clip_vision(settings, -2)); });
    fuzz::attempt([&] {
      const auto llava = published::read_llava(settings);
      check(llava.decoder);
      check(llava.vision);
    });
    fuzz::attempt([&] {
      const io::Json tower = {{"model_type", "clip_vision_model"}};
      check(published::read_original_llava(settings, {tower, "tower"}).decoder);
    });
  });
  return 0;
}
