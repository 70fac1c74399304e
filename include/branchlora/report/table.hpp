/// @file
/// A table of text with notes under it, and its three forms: terminal, Markdown, LaTeX.
#pragma once

#include <string>
#include <vector>

namespace branchlora::report {

/// A table. Cells are plain UTF-8; every row has a cell a column. Columns of numbers are aligned
/// to the right.
struct Table {
  struct Column {
    std::string title;
    bool number = true;
  };
  /// A line under the table, `label: text`; `latex` replaces `text` in LaTeX if it is not empty.
  struct Note {
    std::string label;
    std::string text;
    std::string latex = {};
  };

  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<Note> notes;

  /// Throws unless `row` has a cell for every column.
  void add_row(std::vector<std::string> row);
};

/// For a terminal: aligned columns between rules, notes wrapped to the width of the table.
std::string to_terminal(const Table& table);

/// Markdown (the pipe tables of GitHub and Pandoc), notes as a list.
std::string to_markdown(const Table& table);

/// LaTeX with the rules of booktabs, notes in small print under the table.
std::string to_latex(const Table& table);

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/table-inl.hpp"
#endif
