/// Turns a LLaMA model in a GGUF file into the folder in which such models are published:
/// `config.json`, `model.safetensors`, `tokenizer.json`.
///
///     convert_gguf model.gguf folder
///     convert_gguf model.gguf folder --dtype BF16
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "branchlora/io/gguf_llama.hpp"

int main(int argc, char** argv) {
  using namespace branchlora;
  std::filesystem::path source;
  std::filesystem::path folder;
  std::string dtype = "F32";
  CLI::App app("Turns a LLaMA model in a GGUF file into a folder as published.");
  app.add_option("source", source, "GGUF file")->required()->check(CLI::ExistingFile);
  app.add_option("folder", folder, "Folder to write")->required();
  app.add_option("--dtype", dtype, "Type of the weights")->check(CLI::IsMember({"F32", "BF16"}));
  CLI11_PARSE(app, argc, argv);
  try {
    io::convert_gguf_llama(source, folder, *io::parse_dtype(dtype));
  } catch (const Error& error) {
    fmt::print(stderr, "convert_gguf: {}\n", error.what());
    return 1;
  }
}
