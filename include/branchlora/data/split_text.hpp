/// @file
/// How MiniCoIN cuts text into tokens.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/data/text.hpp"

namespace branchlora::data {

namespace detail {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

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

/// The tokens of `text`, in order: the matches of
/// `<image>|[0-9]\.[0-9]{2}|[a-z]+(?:[-'][a-z]+)*|[0-9]|[^\sa-z0-9]`.
/// So `0.25` is one token, other digits are single, words may hold hyphens and apostrophes, every
/// other character is a token, and white space vanishes. Text is not changed to lower case: an
/// upper case letter is a token of its own.
inline std::vector<std::string> split_text(std::string_view text) {
  std::vector<std::string> tokens;
  while (!text.empty()) {
    const std::size_t length = detail::is_blank(text[0]) ? 1 : detail::token_length(text);
    if (!detail::is_blank(text[0])) tokens.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return tokens;
}

}  // namespace branchlora::data
