// Any bytes are refused with an `Error`, or are a file whose every tensor can be read.
#include "branchlora/io/safetensors.hpp"

#include "input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  fuzz::attempt([&] {
    const auto file = io::SafeTensors::open(fuzz::as_file(fuzz::as_text(bytes, size)));
    std::size_t sum = 0;
    for (const std::string& name : file.names()) {
      const auto& tensor = file.tensor(name);
      for (const std::byte b : tensor.bytes) sum += std::to_integer<std::size_t>(b);
      std::vector<float> values(static_cast<std::size_t>(tensor.size()));
      fuzz::attempt([&] { file.read(name, std::span(values)); });  // may be of whole numbers
    }
    fuzz::require(sum <= 255 * size);
  });
  return 0;
}
