// Any bytes are refused with an `Error`, or are a vocabulary whose words are read as they are.
#include "branchlora/data/tokenizer.hpp"
#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    const std::string_view text = fuzz::as_text(bytes, size);
    const auto tokenizer = data::Tokenizer::load(fuzz::as_file(text));
    std::vector<Index> words;
    for (Index id = 4; id < tokenizer.size(); ++id) words.push_back(id);
    fuzz::require(tokenizer.encode(tokenizer.decode(words)) == words);
    tokenizer.decode(tokenizer.encode(text));
  });
  return 0;
}
