/// @file
/// Pictures in memory, decoded by stb_image, and contact sheets: one file that holds many pictures
/// of one size.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/matrix.hpp"

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
Image load_image(const std::filesystem::path& path);

/// A picture that is a grid of square tiles, numbered along the rows from the top left.
class ContactSheet {
 public:
  /// `sheet` must be `columns` tiles of `tile` pixels wide and a whole number of them high; `name`
  /// stands for it in messages. Throws `Error` if it is not.
  ContactSheet(Image sheet, std::string name, Index tile = 48, Index columns = 32);

  /// Number of tiles that the sheet has room for.
  Index size() const { return sheet_.height / tile_ * columns_; }

  /// A copy of tile `k`. Throws `Error` if the sheet has no such tile.
  Image tile(Index k) const;

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
  explicit ImageStore(std::filesystem::path folder, Index tile = 48, Index columns = 32);

  /// The picture that `image` names. Throws `Error` naming the file if it is absent or damaged, has
  /// no such tile, or lies outside the folder.
  Image load(std::string_view image);

 private:
  static std::pair<std::string_view, std::optional<Index>> split_tile_number(
      std::string_view image);

  const ContactSheet& sheet(const std::filesystem::path& relative);

  std::filesystem::path folder_;
  Index tile_;
  Index columns_;
  std::map<std::filesystem::path, ContactSheet> sheets_;
};

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/image-inl.hpp"
#endif
