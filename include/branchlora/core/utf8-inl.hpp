/// @file
/// How UTF-8 is read and written.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "branchlora/core/inline.hpp"
#include "branchlora/core/utf8.hpp"

namespace branchlora {

BRANCHLORA_INLINE CodePoint first_code_point(std::string_view text) {
  const auto byte = [text](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[i]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {replacement_character, 1};
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // The second byte's bounds exclude overlong forms, surrogates and what lies above U+10FFFF.
  char32_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  char32_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t value = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size() || byte(i) < lowest || byte(i) > highest) {
      return {replacement_character, i};
    }
    value = value << 6 | (byte(i) & 0x3FU);
    lowest = 0x80;
    highest = 0xBF;
  }
  return {value, length};
}

BRANCHLORA_INLINE std::u32string decode_utf8(std::string_view text) {
  std::u32string points;
  points.reserve(text.size());
  while (!text.empty()) {
    const CodePoint first = first_code_point(text);
    points += first.value;
    text.remove_prefix(first.bytes);
  }
  return points;
}

BRANCHLORA_INLINE void append_utf8(std::string& text, char32_t point) {
  const auto put = [&text](char32_t byte) { text += static_cast<char>(byte); };
  const auto follow = [&](int shift) { put(0x80U | (point >> shift & 0x3FU)); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0U | point >> 6);
    follow(0);
  } else if (point < 0x10000) {
    put(0xE0U | point >> 12);
    follow(6);
    follow(0);
  } else {
    put(0xF0U | point >> 18);
    follow(12);
    follow(6);
    follow(0);
  }
}

BRANCHLORA_INLINE std::string encode_utf8(std::u32string_view points) {
  std::string text;
  text.reserve(points.size());
  for (const char32_t point : points) append_utf8(text, point);
  return text;
}

BRANCHLORA_INLINE std::string valid_utf8(std::string_view bytes) {
  return encode_utf8(decode_utf8(bytes));
}

}  // namespace branchlora
