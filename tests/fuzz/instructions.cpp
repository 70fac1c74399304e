// Any bytes are refused with an `Error`, or are samples with at least one turn and answer each.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "branchlora/data/instructions.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  try {
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    for (const data::Sample& sample : data::parse_instructions(text, "input")) {
      if (sample.turns.empty() || sample.answers.empty()) __builtin_trap();
    }
  } catch (const Error&) {
  }
  return 0;
}
