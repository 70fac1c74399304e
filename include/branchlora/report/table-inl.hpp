/// @file
/// The bodies of `table.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/table.hpp"
#include "branchlora/report/text.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE void Table::add_row(std::vector<std::string> row) {
  expect(row.size() == columns.size(), "table \"{}\": expected a row of {} cells, found {}", title,
         columns.size(), row.size());
  rows.push_back(std::move(row));
}

BRANCHLORA_INLINE std::string to_terminal(const Table& table) {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    std::size_t width = display_width(table.columns[c].title);
    for (const auto& row : table.rows) width = std::max(width, display_width(row[c]));
    widths.push_back(width);
  }
  std::size_t total = 2 * (widths.size() - 1);
  for (const std::size_t width : widths) total += width;
  total = std::max<std::size_t>(total, 60);

  std::string rule;
  for (std::size_t i = 0; i < total; ++i) rule += "─";
  const auto line = [&](auto cell) {
    std::string out;
    for (std::size_t c = 0; c < widths.size(); ++c) {
      if (c > 0) out += "  ";
      out += pad(cell(c), widths[c], table.columns[c].number);
    }
    return out.substr(0, out.find_last_not_of(' ') + 1) + '\n';
  };

  std::string out;
  if (!table.title.empty()) out += table.title + '\n';
  out += rule + '\n' + line([&](std::size_t c) { return table.columns[c].title; }) + rule + '\n';
  for (const auto& row : table.rows) out += line([&](std::size_t c) { return row[c]; });
  out += rule + '\n';
  for (const Table::Note& note : table.notes) {
    std::string_view indent;
    for (const std::string& part : wrap(note.label + ": " + note.text, total - 2)) {
      out += fmt::format("{}{}\n", indent, part);
      indent = "  ";
    }
  }
  return out;
}

BRANCHLORA_INLINE std::string to_markdown(const Table& table) {
  std::string out;
  if (!table.title.empty()) out += fmt::format("**{}**\n\n", escape_markdown(table.title));
  std::string rule;
  for (const Table::Column& column : table.columns) {
    out += fmt::format("| {} ", escape_markdown(column.title));
    rule += column.number ? "|---:" : "|:---";
  }
  out += "|\n" + rule + "|\n";
  for (const auto& row : table.rows) {
    for (const std::string& cell : row) out += fmt::format("| {} ", escape_markdown(cell));
    out += "|\n";
  }
  out += '\n';
  for (const Table::Note& note : table.notes)
    out += fmt::format("- {}: {}\n", escape_markdown(note.label), escape_markdown(note.text));
  return out;
}

BRANCHLORA_INLINE std::string to_latex(const Table& table) {
  std::string format;
  std::string header;
  for (const Table::Column& column : table.columns) {
    if (!header.empty()) header += " & ";
    format += column.number ? 'r' : 'l';
    header += escape_latex(column.title);
  }
  std::string out = "% \\usepackage{booktabs}\n\\begin{table}\n\\centering\n";
  if (!table.title.empty()) out += fmt::format("\\caption{{{}}}\n", escape_latex(table.title));
  out += fmt::format("\\begin{{tabular}}{{@{{}}{}@{{}}}}\n\\toprule\n{} \\\\\n\\midrule\n", format,
                     header);
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c > 0) out += " & ";
      const bool negative = table.columns[c].number && row[c].starts_with('-');
      out += negative ? "$-$" + escape_latex(row[c].substr(1)) : escape_latex(row[c]);
    }
    out += " \\\\\n";
  }
  out += "\\bottomrule\n\\end{tabular}\n";
  if (!table.notes.empty()) {
    out += "\\par\\medskip\n\\begin{minipage}{\\linewidth}\\footnotesize\n";
    std::string_view separator;
    for (const Table::Note& note : table.notes) {
      out += fmt::format("{}{}: {}.", std::exchange(separator, "\\\\\n"), escape_latex(note.label),
                         note.latex.empty() ? escape_latex(note.text) : note.latex);
    }
    out += '\n';
    out += "\\end{minipage}\n";
  }
  return out + "\\end{table}\n";
}

}  // namespace branchlora::report
