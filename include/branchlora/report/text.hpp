/// @file
/// Text as terminals, Markdown, LaTeX, XML and CSV need it: widths, wrapping and escapes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace branchlora::report {

/// Columns that UTF-8 `text` takes in a terminal.
std::size_t display_width(std::string_view text);

/// The longest beginning of `text` that fits `width` columns; what was cut shows as `…`.
std::string truncate(std::string_view text, std::size_t width);

/// `text` filled with spaces to `width` columns, at its end or, with `right`, at its beginning.
std::string pad(std::string_view text, std::size_t width, bool right = false);

/// `text` broken at spaces into lines of at most `width` columns; a longer word stays whole.
std::vector<std::string> wrap(std::string_view text, std::size_t width);

/// `text` as the content of a cell of a Markdown table.
std::string escape_markdown(std::string_view text);

/// `text` for LaTeX; the few symbols that our tables use become commands.
std::string escape_latex(std::string_view text);

/// `text` as the content or an attribute of XML. Control characters, which XML cannot hold, become
/// spaces.
std::string escape_xml(std::string_view text);

/// `text` as a field of CSV (RFC 4180): in quotes where it holds a comma, a quote or a line break.
std::string escape_csv(std::string_view text);

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/text-inl.hpp"
#endif
