/// @file
/// The characters that byte-level tokenizers write for bytes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "branchlora/data/bpe/utf8.hpp"

namespace branchlora::data::bpe {

/// The character for each byte: itself where it is printable in Latin-1, else the next unused one
/// from U+0100 on (Radford et al., "Language models are unsupervised multitask learners", 2019).
inline constexpr std::array<char32_t, 256> byte_characters = [] {
  std::array<char32_t, 256> map{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte <= 0xFF && byte != 0xAD);
    map[byte] = printable ? byte : next++;
  }
  return map;
}();

/// Each byte of `text` as its character.
inline std::string bytes_to_characters(std::string_view text) {
  std::string out;
  for (const char c : text) append_utf8(out, byte_characters[static_cast<unsigned char>(c)]);
  return out;
}

/// The bytes whose characters `text` has, or nothing if one is the character of no byte.
inline std::optional<std::string> characters_to_bytes(std::string_view text) {
  static const auto bytes = [] {
    std::map<char32_t, char> map;
    for (std::size_t b = 0; b < 256; ++b) map[byte_characters[b]] = static_cast<char>(b);
    return map;
  }();
  std::string out;
  for (const char32_t c : decode_utf8(text)) {
    const auto found = bytes.find(c);
    if (found == bytes.end()) return std::nullopt;
    out += found->second;
  }
  return out;
}

}  // namespace branchlora::data::bpe
