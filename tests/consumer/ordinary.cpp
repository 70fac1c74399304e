#include "ordinary.hpp"

#include <array>
#include <filesystem>
#include <span>
#include <string>

#include "branchlora/data/image.hpp"
#include "branchlora/io/safetensors.hpp"

bool ordinary_code_works() {
  using namespace branchlora;
  const std::filesystem::path path = "consumer.safetensors";
  const std::array<float, 2> written{1, 2};
  io::write_safetensors(path, {io::tensor_out("w", {2}, std::span<const float>(written))});
  std::array<float, 2> read{};
  io::SafeTensors::open(path).read("w", std::span<float>(read));
  std::string refusal;
  try {
    data::load_image(path);
  } catch (const Error& error) {
    refusal = error.what();
  }
  return read == written && refusal.find("expected a PNG or JPEG image") != refusal.npos;
}
