// Any bytes are refused with an `Error`, or are the index of two files whose every tensor is found.
#include <stdlib.h>

#include <fstream>

#include "branchlora/io/sharded.hpp"
#include "input.hpp"

namespace {

using namespace branchlora;

/// A folder with two files and room for an index, removed at the end.
struct Folder {
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fuzz.XXXXXX").string();
    fuzz::require(::mkdtemp(name.data()) != nullptr);
    path = name;
    const std::vector<float> one{1};
    io::write_safetensors(path / "1", {io::tensor_out<float>("a", {1}, one)});
    io::write_safetensors(path / "2", {io::tensor_out<float>("b", {1}, one)});
  }
  ~Folder() { std::filesystem::remove_all(path); }

  std::filesystem::path path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const Folder folder;
  const auto index = folder.path / "model.safetensors.index.json";
  std::ofstream(index, std::ios::binary) << fuzz::as_text(bytes, size);
  fuzz::attempt([&] {
    const auto all = io::ShardedTensors::open(index);
    for (const std::string& name : all.names()) {
      float value = 0;
      all.read(name, std::span(&value, 1));
      fuzz::require(value == 1);
    }
  });
  return 0;
}
