// Any text is encoded by each kind of tokenizer. Byte-level ones without a normaliser give it back
// as it was, but for what is not UTF-8; the bytes as token numbers are decoded to valid UTF-8.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/data/bpe/bpe_tokenizer.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  using data::BpeTokenizer;
  static const auto tokenizers = [] {
    const std::filesystem::path folder = BRANCHLORA_SOURCE_DIR "/tests/golden/tokenizers";
    std::vector<std::pair<BpeTokenizer, bool>> all;
    for (const auto& [name, gives_back] : {std::pair("llama", false),
                                           {"llama-metaspace", false},
                                           {"gpt2", true},
                                           {"llama3", true},
                                           {"qwen2", false},
                                           {"smollm", true}}) {
      all.emplace_back(BpeTokenizer::load(folder / (std::string(name) + ".json")), gives_back);
    }
    return all;
  }();
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const std::vector<Index> numbers(bytes, bytes + size);
  for (const auto& [tokenizer, gives_back] : tokenizers) {
    const auto ids = tokenizer.encode(text, data::SpecialTokens::Omit);
    const std::string decoded = tokenizer.decode(ids);
    if (gives_back && decoded != valid_utf8(text)) __builtin_trap();
    const std::string other = tokenizer.decode(numbers);
    if (other != valid_utf8(other)) __builtin_trap();
  }
  return 0;
}
