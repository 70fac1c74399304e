/// @file
/// The bodies of `text.hpp`.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/report/text.hpp"

namespace branchlora::report {

namespace detail {

/// Takes one code point off the front of UTF-8 `text`; a malformed byte counts as itself.
BRANCHLORA_INLINE std::uint32_t take_code_point(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::uint32_t lead = byte(0);
  const std::size_t length = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length > text.size()) {
    text.remove_prefix(1);
    return lead;
  }
  std::uint32_t code = length == 1 ? lead : lead & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3fU);
  text.remove_prefix(length);
  return code;
}

/// Columns that a code point takes in a terminal: 0 for combining marks, 2 for East Asian wide
/// characters and emoji.
constexpr std::size_t code_point_width(std::uint32_t c) {
  if ((c >= 0x300 && c <= 0x36f) || c == 0x200b || c == 0x200d || (c >= 0xfe00 && c <= 0xfe0f))
    return 0;
  const bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf && c != 0x303f) ||
                    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
                    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
                    (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1f64f) ||
                    (c >= 0x1f900 && c <= 0x1f9ff) || (c >= 0x20000 && c <= 0x3fffd);
  return wide ? 2 : 1;
}

/// `text` with every occurrence of each first string replaced by its second, in one pass.
template <std::size_t N>
std::string replace_each(std::string_view text,
                         const std::array<std::pair<std::string_view, std::string_view>, N>& map) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::string_view from = text.substr(0, 1);
    std::string_view to = from;
    for (const auto& [key, value] : map) {
      if (text.starts_with(key)) {
        from = key;
        to = value;
        break;
      }
    }
    out += to;
    text.remove_prefix(from.size());
  }
  return out;
}

}  // namespace detail

BRANCHLORA_INLINE std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) width += detail::code_point_width(detail::take_code_point(text));
  return width;
}

BRANCHLORA_INLINE std::string truncate(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return {};
  std::string_view rest = text;
  std::string_view kept;
  std::size_t used = 0;
  while (true) {
    used += detail::code_point_width(detail::take_code_point(rest));
    if (used > width - 1) break;
    kept = text.substr(0, text.size() - rest.size());
  }
  return std::string(kept) + "…";
}

BRANCHLORA_INLINE std::string pad(std::string_view text, std::size_t width, bool right) {
  const std::size_t have = display_width(text);
  const std::string fill(have < width ? width - have : 0, ' ');
  return right ? fill + std::string(text) : std::string(text) + fill;
}

BRANCHLORA_INLINE std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && display_width(line) + 1 + display_width(word) > width)
      lines.push_back(std::exchange(line, std::string()));
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

BRANCHLORA_INLINE std::string escape_markdown(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 5> map{
      {{"|", "\\|"}, {"*", "\\*"}, {"<", "&lt;"}, {"`", "\\`"}, {"\n", " "}}};
  return detail::replace_each(text, map);
}

BRANCHLORA_INLINE std::string escape_latex(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 20> map{
      {{"\\", "\\textbackslash{}"},
       {"&", "\\&"},
       {"%", "\\%"},
       {"$", "\\$"},
       {"#", "\\#"},
       {"_", "\\_"},
       {"{", "\\{"},
       {"}", "\\}"},
       {"~", "\\textasciitilde{}"},
       {"^", "\\textasciicircum{}"},
       {"<", "$<$"},
       {">", "$>$"},
       {"±", "$\\pm$"},
       {"→", "$\\to$"},
       {"↑", "$\\uparrow$"},
       {"↓", "$\\downarrow$"},
       {"–", "--"},
       {"−", "$-$"},
       {"×", "$\\times$"},
       {"·", "$\\cdot$"}}};
  return detail::replace_each(text, map);
}

BRANCHLORA_INLINE std::string escape_xml(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 5> map{
      {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}}};
  std::string out = detail::replace_each(text, map);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return out;
}

BRANCHLORA_INLINE std::string escape_csv(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 1> map{
      {{"\"", "\"\""}}};
  return '"' + detail::replace_each(text, map) + '"';
}

}  // namespace branchlora::report
