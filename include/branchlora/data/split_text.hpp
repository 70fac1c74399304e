/// @file
/// How MiniCoIN cuts text into tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace branchlora::data {

namespace detail {

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace detail

/// The tokens of `text`, in order: the matches of
/// `<image>|[0-9]\.[0-9]{2}|[a-z]+(?:[-'][a-z]+)*|[0-9]|[^\sa-z0-9]`.
/// So `0.25` is one token, other digits are single, words may hold hyphens and apostrophes, every
/// other character is a token, and white space vanishes. Text is not changed to lower case: an
/// upper case letter is a token of its own.
std::vector<std::string> split_text(std::string_view text);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/split_text-inl.hpp"
#endif
