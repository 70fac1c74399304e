/// @file
/// Samples and pictures for tests that read them.
#pragma once

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

#include <string>

#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"

namespace branchlora::test {

/// The bytes of a PNG file that holds `image`.
inline std::string png_of(const data::Image& image) {
  std::string file;
  stbi_write_png_to_func(
      [](void* to, void* bytes, int size) {
        static_cast<std::string*>(to)->append(static_cast<char*>(bytes),
                                              static_cast<std::size_t>(size));
      },
      &file, static_cast<int>(image.width), static_cast<int>(image.height), 3, image.rgb.data(), 0);
  return file;
}

/// A sample of one turn.
inline data::Sample sample_of(std::string id, std::string image, std::string instruction,
                              std::string answer) {
  data::Sample sample;
  sample.id = std::move(id);
  sample.image = std::move(image);
  sample.answers = {answer};
  sample.turns = {{std::move(instruction), std::move(answer)}};
  return sample;
}

}  // namespace branchlora::test
