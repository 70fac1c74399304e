/// @file
/// How bytes become characters.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "branchlora/core/inline.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/byte_map.hpp"

namespace branchlora::data::bpe {

BRANCHLORA_INLINE std::string bytes_to_characters(std::string_view text) {
  std::string out;
  for (const char c : text) append_utf8(out, byte_characters[static_cast<unsigned char>(c)]);
  return out;
}

BRANCHLORA_INLINE std::optional<std::string> characters_to_bytes(std::string_view text) {
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
