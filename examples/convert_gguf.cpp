/// Turns a LLaMA model in a GGUF file into the folder in which such models are published:
/// `config.json`, `model.safetensors`, `tokenizer.json`.
///
///     convert_gguf model.gguf folder
///     convert_gguf model.gguf folder --dtype BF16
#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "branchlora/io/gguf_llama.hpp"
#include "command_line.hpp"

int main(int argc, char** argv) {
  using namespace branchlora;
  std::filesystem::path source;
  std::filesystem::path folder;
  std::string dtype = "F32";
  study::CommandLine line("Turns a LLaMA model in a GGUF file into a folder as published.");
  line.option("source", source, "GGUF file").required().existing_file();
  line.option("folder", folder, "Folder to write").required();
  line.option("--dtype", dtype, "Type of the weights").one_of({"F32", "BF16"});
  if (const auto status = line.end_of(argc, argv)) return *status;
  try {
    io::convert_gguf_llama(source, folder, *io::parse_dtype(dtype));
  } catch (const Error& error) {
    fmt::print(stderr, "convert_gguf: {}\n", error.what());
    return 1;
  }
}
