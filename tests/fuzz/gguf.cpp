// Any bytes are refused with an `Error`, or are a file whose every tensor can be read; what it says
// of a model and a tokenizer is refused or is JSON.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "branchlora/io/gguf_llama.hpp"

namespace {

/// Runs `action`, which may refuse what it is given.
void attempt(auto action) {
  try {
    action();
  } catch (const branchlora::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace branchlora;
  static const int file = ::memfd_create("input.gguf", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, bytes, size, 0) != static_cast<ssize_t>(size)) {
    __builtin_trap();
  }
  attempt([&] {
    const auto gguf = io::Gguf::open(path);
    for (const std::string& name : gguf.names()) {
      std::vector<float> values(static_cast<std::size_t>(gguf.tensor(name).size()));
      if (values.size() > 2 * size) __builtin_trap();
      gguf.read(name, values);
    }
    attempt([&] { io::gguf_llama_config(gguf).dump(); });
    attempt([&] { io::gguf_tokenizer(gguf.metadata(), "input").dump(); });
  });
  return 0;
}
