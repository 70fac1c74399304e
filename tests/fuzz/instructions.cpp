// Any bytes are refused with an `Error`, or are samples with at least one turn and answer each.
#include "branchlora/data/instructions.hpp"
#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    for (const auto& sample : data::parse_instructions(fuzz::as_text(bytes, size), "input")) {
      fuzz::require(!sample.turns.empty() && !sample.answers.empty());
    }
  });
  return 0;
}
