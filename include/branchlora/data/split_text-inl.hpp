/// @file
/// How MiniCoIN's text is cut.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/data/split_text.hpp"
#include "branchlora/data/text.hpp"

namespace branchlora::data {

namespace detail {

/// Length of the token that `text` begins with; `text` begins with no white space.
constexpr std::size_t token_length(std::string_view text) {
  if (text.starts_with(image_mark)) return image_mark.size();

  const auto at = [text](std::size_t i) { return i < text.size() ? text[i] : '\0'; };
  if (is_digit(text[0])) {
    return at(1) == '.' && is_digit(at(2)) && is_digit(at(3)) ? 4 : 1;
  }
  std::size_t n = 0;
  if (is_lower(text[0])) {
    while (is_lower(at(n)) || (n > 0 && (at(n) == '-' || at(n) == '\'') && is_lower(at(n + 1)))) {
      ++n;
    }
    return n;
  }
  n = 1;  // any other character, of several bytes in UTF-8
  while ((static_cast<unsigned char>(at(n)) & 0xC0U) == 0x80U) ++n;
  return n;
}

}  // namespace detail

BRANCHLORA_INLINE std::vector<std::string> split_text(std::string_view text) {
  std::vector<std::string> tokens;
  while (!text.empty()) {
    const std::size_t length = detail::is_blank(text[0]) ? 1 : detail::token_length(text);
    if (!detail::is_blank(text[0])) tokens.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return tokens;
}

}  // namespace branchlora::data
