/// @file
/// The classes of characters that the patterns of tokenizers name.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "branchlora/data/bpe/unicode_tables.hpp"

namespace branchlora::data::bpe {

namespace detail {

/// Whether one of `ranges`, which are in order and apart, has `point`.
inline bool in_ranges(std::span<const Range> ranges, char32_t point) {
  const auto after = std::ranges::upper_bound(ranges, point, {}, &Range::first);
  return after != ranges.begin() && point <= (after - 1)->last;
}

}  // namespace detail

/// True for `\p{L}`: letters.
inline bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
  return detail::in_ranges(detail::letters, c);
}

/// True for `\p{M}`: marks that combine with what stands before them.
inline bool is_mark(char32_t c) { return c >= 0x300 && detail::in_ranges(detail::marks, c); }

/// True for `\p{N}`: digits, and other numbers as fractions and Roman numerals.
inline bool is_number(char32_t c) {
  if (c < 0x80) return c >= U'0' && c <= U'9';
  return detail::in_ranges(detail::numbers, c);
}

/// True for `\s`: white space, line ends and U+0085 among it.
constexpr bool is_space(char32_t c) {
  return c == U' ' || (c >= 0x9 && c <= 0xD) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace branchlora::data::bpe
