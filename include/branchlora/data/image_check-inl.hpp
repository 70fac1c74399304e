/// @file
/// How damage of image files is found.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "branchlora/core/inline.hpp"
#include "branchlora/data/image_check.hpp"

namespace branchlora::data {

namespace detail {

BRANCHLORA_INLINE std::uint32_t crc32(std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ (value & 1U ? 0xEDB88320U : 0U);
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc = table[(crc ^ static_cast<unsigned char>(c)) & 0xFFU] ^ (crc >> 8);
  }
  return ~crc;
}

BRANCHLORA_INLINE std::uint32_t big_endian(std::string_view bytes) {
  std::uint32_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

inline constexpr std::string_view png_signature = "\x89PNG\r\n\x1A\n";

inline constexpr std::string_view jpeg_signature = "\xFF\xD8\xFF";

/// Chunks are a length, a type of four letters, that many bytes, and a checksum of the latter two.
BRANCHLORA_INLINE std::optional<std::string> find_png_defect(std::string_view file) {
  std::size_t at = png_signature.size();
  while (true) {
    if (file.size() - at < 12) return "the PNG is truncated: its closing chunk is missing";
    const std::size_t length = big_endian(file.substr(at, 4));
    const std::string_view type = file.substr(at + 4, 4);
    if (length > file.size() - at - 12) {
      return fmt::format("the PNG is truncated: a chunk at byte {} needs {} more bytes, found {}",
                         at, length, file.size() - at - 12);
    }
    const std::uint32_t expected = big_endian(file.substr(at + 8 + length, 4));
    const std::uint32_t found = crc32(file.substr(at + 4, 4 + length));
    if (expected != found) {
      return fmt::format(
          "the PNG is damaged: the chunk at byte {} has checksum {:08x}, expected "
          "{:08x}",
          at, found, expected);
    }
    if (type == "IEND") return std::nullopt;
    at += 12 + length;
  }
}

/// Whether one of the Huffman tables of a segment, whose length stands at byte `at`, has more than
/// the 256 codes that stb_image has room for. A table is a byte, the number of codes of each of 16
/// lengths, and as many bytes as there are codes.
BRANCHLORA_INLINE bool has_long_huffman_table(std::string_view file, std::size_t at) {
  const std::size_t end = std::min(at + big_endian(file.substr(at, 2)), file.size());
  at += 2;
  while (at < end) {
    std::size_t codes = 0;
    for (const char c : file.substr(at + 1, 16)) codes += static_cast<unsigned char>(c);
    if (codes > 256) return true;
    at += 17 + codes;
  }
  return false;
}

/// Segments are 0xFF, a kind, and a length that counts itself. From the first scan (kind 0xDA) on
/// come coded bytes, in which 0xFF 0xC4 can only begin Huffman tables, and 0xFF 0xD9 be the end
/// mark.
BRANCHLORA_INLINE std::optional<std::string> find_jpeg_defect(std::string_view file) {
  constexpr const char* long_table = "the JPEG is damaged: a Huffman table has more than 256 codes";
  std::size_t at = 2;
  while (at + 4 <= file.size() && file[at] == '\xFF') {
    if (file[at + 1] == '\xFF') {  // fill byte
      ++at;
      continue;
    }
    if (file[at + 1] == '\xC4' && has_long_huffman_table(file, at + 2)) return long_table;
    if (file[at + 1] == '\xDA') {
      for (std::size_t tables = file.find("\xFF\xC4", at); tables != file.npos;
           tables = file.find("\xFF\xC4", tables + 2)) {
        if (has_long_huffman_table(file, tables + 2)) return long_table;
      }
      if (file.find("\xFF\xD9", at) != file.npos) return std::nullopt;
      break;
    }
    at += 2 + big_endian(file.substr(at + 2, 2));
  }
  return "the JPEG is truncated or damaged: its end mark is missing";
}

}  // namespace detail

BRANCHLORA_INLINE std::optional<std::string> find_image_defect(std::string_view file) {
  if (file.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) {
    return fmt::format("expected an image of less than 2 GiB, found {} bytes", file.size());
  }
  if (file.starts_with(detail::png_signature)) return detail::find_png_defect(file);
  if (file.starts_with(detail::jpeg_signature)) return detail::find_jpeg_defect(file);
  return "expected a PNG or JPEG image, found another kind of file";
}

}  // namespace branchlora::data
