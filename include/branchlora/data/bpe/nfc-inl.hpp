/// @file
/// How text is brought to normalisation form C.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/inline.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/nfc.hpp"
#include "branchlora/data/bpe/unicode_tables.hpp"

namespace branchlora::data::bpe {

namespace detail {

// The syllables of Hangul are computed (the Unicode standard, section 3.12).
inline constexpr char32_t syllable_base = 0xAC00;

inline constexpr char32_t lead_base = 0x1100;

inline constexpr char32_t vowel_base = 0x1161;

inline constexpr char32_t trail_base = 0x11A7;

inline constexpr char32_t lead_count = 19;

inline constexpr char32_t vowel_count = 21;

inline constexpr char32_t trail_count = 28;

inline constexpr char32_t syllable_count = lead_count * vowel_count * trail_count;

constexpr bool within(char32_t c, char32_t base, char32_t count) {
  return c >= base && c - base < count;
}

BRANCHLORA_INLINE int combining_class(char32_t c) {
  const std::span<const ClassRange> all = combining_classes;
  const auto after = std::ranges::upper_bound(all, c, {}, &ClassRange::first);
  return after != all.begin() && c <= (after - 1)->last ? (after - 1)->combining_class : 0;
}

BRANCHLORA_INLINE const Decomposition* find_decomposition(char32_t c) {
  using Table = std::span<const Decomposition>;
  for (const Table all : {Table(compositions), Table(one_way)}) {
    const auto found = std::ranges::lower_bound(all, c, {}, &Decomposition::whole);
    if (found != all.end() && found->whole == c) return &*found;
  }
  return nullptr;
}

BRANCHLORA_INLINE void decompose(char32_t c, std::u32string& out) {
  if (within(c, syllable_base, syllable_count)) {
    const char32_t s = c - syllable_base;
    out += lead_base + s / (vowel_count * trail_count);
    out += vowel_base + s / trail_count % vowel_count;
    if (s % trail_count != 0) out += trail_base + s % trail_count;
  } else if (const Decomposition* parts = find_decomposition(c)) {
    decompose(parts->first, out);
    if (parts->second != 0) decompose(parts->second, out);
  } else {
    out += c;
  }
}

/// The one code point for `first` and `second`, or 0.
BRANCHLORA_INLINE char32_t compose(char32_t first, char32_t second) {
  if (within(first, lead_base, lead_count) && within(second, vowel_base, vowel_count)) {
    return syllable_base +
           ((first - lead_base) * vowel_count + (second - vowel_base)) * trail_count;
  }
  if (within(first, syllable_base, syllable_count) && (first - syllable_base) % trail_count == 0 &&
      within(second, trail_base + 1, trail_count - 1)) {
    return first + (second - trail_base);
  }
  static const auto wholes = [] {
    std::map<std::pair<char32_t, char32_t>, char32_t> all;
    for (const Decomposition& d : compositions) all[{d.first, d.second}] = d.whole;
    return all;
  }();
  const auto found = wholes.find({first, second});
  return found == wholes.end() ? 0 : found->second;
}

}  // namespace detail

BRANCHLORA_INLINE std::u32string nfc(std::u32string_view points) {
  // Below U+0300 nothing combines, and every code point is its own form C.
  if (std::ranges::all_of(points, [](char32_t c) { return c < 0x300; })) {
    return std::u32string(points);
  }
  std::u32string parts;
  for (const char32_t c : points) detail::decompose(c, parts);
  for (auto at = parts.begin(); at != parts.end();) {
    const auto is_starter = [](char32_t c) { return detail::combining_class(c) == 0; };
    const auto begin = std::find_if_not(at, parts.end(), is_starter);
    at = std::find_if(begin, parts.end(), is_starter);
    std::stable_sort(begin, at, [](char32_t a, char32_t b) {
      return detail::combining_class(a) < detail::combining_class(b);
    });
  }

  std::u32string out;
  std::size_t starter = std::u32string::npos;
  int last_class = 0;  // of what stands between the starter and here
  for (const char32_t c : parts) {
    const int its_class = detail::combining_class(c);
    const bool has_starter = starter != std::u32string::npos;
    const bool adjacent = has_starter && starter + 1 == out.size();
    if (has_starter && (adjacent || (last_class != 0 && last_class < its_class))) {
      if (const char32_t whole = detail::compose(out[starter], c)) {
        out[starter] = whole;
        continue;
      }
    }
    if (its_class == 0) starter = out.size();
    last_class = its_class;
    out += c;
  }
  return out;
}

BRANCHLORA_INLINE std::string nfc(std::string_view text) {
  return encode_utf8(nfc(decode_utf8(text)));
}

}  // namespace branchlora::data::bpe
