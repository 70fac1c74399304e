/// @file
/// What instructions have in common as text.
#pragma once

#include <string_view>

namespace branchlora::data {

/// What stands for the picture in an instruction.
inline constexpr std::string_view image_mark = "<image>";

/// A text without the white space around it.
constexpr std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace branchlora::data
