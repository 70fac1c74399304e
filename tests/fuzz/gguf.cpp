// Any bytes are refused with an `Error`, or are a file whose every tensor can be read; what it says
// of a model and a tokenizer is refused or is JSON.
#include "branchlora/io/gguf_llama.hpp"
#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    const auto gguf = io::Gguf::open(fuzz::as_file(fuzz::as_text(bytes, size)));
    for (const std::string& name : gguf.names()) {
      std::vector<float> values(static_cast<std::size_t>(gguf.tensor(name).size()));
      fuzz::require(values.size() <= 2 * size);
      gguf.read(name, values);
    }
    fuzz::attempt([&] { io::gguf_llama_config(gguf).dump(); });
    fuzz::attempt([&] { io::gguf_tokenizer(gguf.metadata(), "input").dump(); });
  });
  return 0;
}
