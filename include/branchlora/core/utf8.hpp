/// @file
/// UTF-8 to code points and back.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace branchlora {

/// Stands for bytes that are not UTF-8.
inline constexpr char32_t replacement_character = 0xFFFD;

/// A code point and the number of bytes that it takes.
struct CodePoint {
  char32_t value;
  std::size_t bytes;
};

/// The code point that `text`, which is not empty, begins with. Of bytes that are not UTF-8, the
/// longest beginning of a code point (at least one byte) gives `replacement_character` (the Unicode
/// standard, section 3.9, "maximal subparts").
CodePoint first_code_point(std::string_view text);

/// The code points of `text`; bytes that are not UTF-8 become `replacement_character`.
std::u32string decode_utf8(std::string_view text);

/// Appends a code point to `text`.
void append_utf8(std::string& text, char32_t point);

/// `points` as UTF-8.
std::string encode_utf8(std::u32string_view points);

/// `bytes` with `replacement_character` in the place of what is not UTF-8.
std::string valid_utf8(std::string_view bytes);

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/core/utf8-inl.hpp"
#endif
