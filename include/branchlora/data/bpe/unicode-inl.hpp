/// @file
/// How characters are classed.
#pragma once

#include <algorithm>
#include <span>

#include "branchlora/core/inline.hpp"
#include "branchlora/data/bpe/unicode.hpp"
#include "branchlora/data/bpe/unicode_tables.hpp"

namespace branchlora::data::bpe {

namespace detail {

/// Whether one of `ranges`, which are in order and apart, has `point`.
BRANCHLORA_INLINE bool in_ranges(std::span<const Range> ranges, char32_t point) {
  const auto after = std::ranges::upper_bound(ranges, point, {}, &Range::first);
  return after != ranges.begin() && point <= (after - 1)->last;
}

}  // namespace detail

BRANCHLORA_INLINE bool is_letter(char32_t c) {
  if (c < 0x80) return (c >= U'a' && c <= U'z') || (c >= U'A' && c <= U'Z');
  return detail::in_ranges(detail::letters, c);
}

BRANCHLORA_INLINE bool is_mark(char32_t c) {
  return c >= 0x300 && detail::in_ranges(detail::marks, c);
}

BRANCHLORA_INLINE bool is_number(char32_t c) {
  if (c < 0x80) return c >= U'0' && c <= U'9';
  return detail::in_ranges(detail::numbers, c);
}

}  // namespace branchlora::data::bpe
