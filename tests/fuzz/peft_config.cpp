// Any bytes are refused with an `Error`, or are settings that come back as they were.
#include "branchlora/io/peft_config.hpp"

#include <nlohmann/json.hpp>

#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    const std::string_view text = fuzz::as_text(bytes, size);
    const auto config = io::parse_peft_config(io::parse_json(text, "input"), "input");
    const std::string written = io::to_json(config).dump();
    fuzz::require(io::parse_peft_config(io::parse_json(written, "written"), "written") == config);
    config.targets("model.layers.0.self_attn.q_proj");
    config.scale_of("model.layers.0.self_attn.q_proj");
  });
  return 0;
}
