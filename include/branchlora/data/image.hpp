/// @file
/// Pictures in memory, decoded by stb_image, and contact sheets: one file that holds many pictures
/// of one size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// stb_image's functions are static here, so each translation unit has its own and none collide. Its
// memory starts as zeros, since a JPEG may name Huffman tables that it never defines.
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
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/image_check.hpp"
#include "branchlora/io/atomic_file.hpp"

namespace branchlora::data {

/// A colour picture: `height` rows of `width` pixels of three bytes (red, green, blue).
struct Image {
  Index width = 0;
  Index height = 0;
  std::vector<std::uint8_t> rgb;

  bool operator==(const Image&) const = default;
};

/// The largest picture that is decoded: a file of a few bytes can claim far more.
inline constexpr Index most_pixels = Index{1} << 26;

/// Decodes the PNG or JPEG file `path`; grey, palette and 16-bit pictures become 8-bit RGB, and
/// transparency is dropped. Throws `Error` naming the file if it is neither, truncated, damaged or
/// too large.
inline Image load_image(const std::filesystem::path& path) {
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

/// A picture that is a grid of square tiles, numbered along the rows from the top left.
class ContactSheet {
 public:
  /// `sheet` must be `columns` tiles of `tile` pixels wide and a whole number of them high; `name`
  /// stands for it in messages. Throws `Error` if it is not.
  ContactSheet(Image sheet, std::string name, Index tile = 48, Index columns = 32)
      : sheet_(std::move(sheet)), name_(std::move(name)), tile_(tile), columns_(columns) {
    expect(tile > 0 && columns > 0 && sheet_.width == tile * columns && sheet_.height > 0 &&
               sheet_.height % tile == 0,
           "{}: expected {} columns of tiles of {} pixels, found an image of {} x {}", name_,
           columns, tile, sheet_.width, sheet_.height);
  }

  /// Number of tiles that the sheet has room for.
  Index size() const { return sheet_.height / tile_ * columns_; }

  /// A copy of tile `k`. Throws `Error` if the sheet has no such tile.
  Image tile(Index k) const {
    expect(k >= 0 && k < size(), "{}: expected a tile from 0 to {}, found {}", name_, size() - 1,
           k);
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

 private:
  Image sheet_;
  std::string name_;
  Index tile_;
  Index columns_;
};

/// Finds the pictures that a data set names, below its folder. `photo.jpg` is a whole file;
/// `sheet.png#17` is tile 17 of a contact sheet. Sheets are decoded once and kept. Not for several
/// threads at a time.
class ImageStore {
 public:
  /// `tile` and `columns` describe the contact sheets.
  explicit ImageStore(std::filesystem::path folder, Index tile = 48, Index columns = 32)
      : folder_(std::move(folder)), tile_(tile), columns_(columns) {}

  /// The picture that `image` names. Throws `Error` naming the file if it is absent or damaged, has
  /// no such tile, or lies outside the folder.
  Image load(std::string_view image) {
    const auto [file, tile] = split_tile_number(image);
    const std::filesystem::path relative = std::filesystem::path(file).lexically_normal();
    expect(!relative.empty() && relative.is_relative() && *relative.begin() != "..",
           "{}: expected an image file below this folder, found '{}'", folder_.string(), image);
    return tile ? sheet(relative).tile(*tile) : load_image(folder_ / relative);
  }

 private:
  static std::pair<std::string_view, std::optional<Index>> split_tile_number(
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

  const ContactSheet& sheet(const std::filesystem::path& relative) {
    const auto found = sheets_.find(relative);
    if (found != sheets_.end()) return found->second;
    const auto path = folder_ / relative;
    return sheets_.emplace(relative, ContactSheet(load_image(path), path.string(), tile_, columns_))
        .first->second;
  }

  std::filesystem::path folder_;
  Index tile_;
  Index columns_;
  std::map<std::filesystem::path, ContactSheet> sheets_;
};

}  // namespace branchlora::data
