/// @file
/// How pictures are decoded, and found in contact sheets.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

// stb_image's functions are static here: those of another part of a program do not collide with
// them. Its memory starts as zeros, since a JPEG may name Huffman tables that it never defines.
#ifndef STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_FAILURE_USERMSG
#define STBI_MALLOC(size) std::calloc(1, size)
#define STBI_REALLOC(memory, size) std::realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#include <stb/stb_image.h>
#undef STB_IMAGE_IMPLEMENTATION
#endif

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/image_check.hpp"
#include "branchlora/io/atomic_file.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE Image load_image(const std::filesystem::path& path) {
  const std::string file = io::read_file(path);
  if (const auto defect = find_image_defect(file)) fail("{}: {}", path.string(), *defect);
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const auto size = static_cast<int>(file.size());
  int width = 0;
  int height = 0;
  int channels = 0;
  expect(stbi_info_from_memory(bytes, size, &width, &height, &channels) == 0 ||
             Index{width} * height <= most_pixels,
         "{}: expected an image of at most {} pixels, found {} x {}", path.string(), most_pixels,
         width, height);
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, size, &width, &height, &channels, 3), stbi_image_free);
  if (!pixels) fail("{}: cannot decode this image: {}", path.string(), stbi_failure_reason());
  return {width, height, {pixels.get(), pixels.get() + std::ptrdiff_t{3} * width * height}};
}

BRANCHLORA_INLINE ContactSheet::ContactSheet(Image sheet, std::string name, Index tile,
                                             Index columns)
    : sheet_(std::move(sheet)), name_(std::move(name)), tile_(tile), columns_(columns) {
  expect(tile > 0 && columns > 0 && sheet_.width == tile * columns && sheet_.height > 0 &&
             sheet_.height % tile == 0,
         "{}: expected {} columns of tiles of {} pixels, found an image of {} x {}", name_, columns,
         tile, sheet_.width, sheet_.height);
}

BRANCHLORA_INLINE Image ContactSheet::tile(Index k) const {
  expect(k >= 0 && k < size(), "{}: expected a tile from 0 to {}, found {}", name_, size() - 1, k);
  Image out{tile_, tile_, {}};
  out.rgb.reserve(static_cast<std::size_t>(3 * tile_ * tile_));
  const Index left = k % columns_ * tile_;
  const Index top = k / columns_ * tile_;
  for (Index y = top; y < top + tile_; ++y) {
    const auto row = sheet_.rgb.begin() + 3 * (y * sheet_.width + left);
    out.rgb.insert(out.rgb.end(), row, row + 3 * tile_);
  }
  return out;
}

BRANCHLORA_INLINE ImageStore::ImageStore(std::filesystem::path folder, Index tile, Index columns)
    : folder_(std::move(folder)), tile_(tile), columns_(columns) {}

BRANCHLORA_INLINE Image ImageStore::load(std::string_view image) {
  const auto [file, tile] = split_tile_number(image);
  const std::filesystem::path relative = std::filesystem::path(file).lexically_normal();
  expect(!relative.empty() && relative.is_relative() && *relative.begin() != "..",
         "{}: expected an image file below this folder, found '{}'", folder_.string(), image);
  return tile ? sheet(relative).tile(*tile) : load_image(folder_ / relative);
}

BRANCHLORA_INLINE std::pair<std::string_view, std::optional<Index>> ImageStore::split_tile_number(
    std::string_view image) {
  const auto hash = image.rfind('#');
  if (hash == image.npos) return {image, std::nullopt};
  const std::string_view digits = image.substr(hash + 1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) {
    return {image, std::nullopt};  // a file whose name has a '#' in it
  }
  expect(digits.size() <= 9, "expected a tile number of at most 9 digits, found '{}'", image);
  return {image.substr(0, hash), std::stoi(std::string(digits))};
}

BRANCHLORA_INLINE const ContactSheet& ImageStore::sheet(const std::filesystem::path& relative) {
  const auto found = sheets_.find(relative);
  if (found != sheets_.end()) return found->second;
  const auto path = folder_ / relative;
  return sheets_.emplace(relative, ContactSheet(load_image(path), path.string(), tile_, columns_))
      .first->second;
}

}  // namespace branchlora::data
