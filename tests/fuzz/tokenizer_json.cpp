// Any bytes are refused with an `Error`, or are a tokenizer that encodes and decodes any text. The
// text follows the JSON after a zero byte.
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "branchlora/data/bpe/bpe_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  const auto end = std::min(input.find('\0'), size);
  try {
    const data::BpeTokenizer tokenizer(io::parse_json(input.substr(0, end), "input"), "input");
    const auto ids = tokenizer.encode(input.substr(end));
    for (const Index id : ids) {
      if (id < 0) __builtin_trap();
    }
    if (const auto text = tokenizer.decode(ids); text != valid_utf8(text)) {
      __builtin_trap();
    }
    tokenizer.decode(ids, data::SpecialTokens::Omit);
  } catch (const Error&) {
  }
  return 0;
}
