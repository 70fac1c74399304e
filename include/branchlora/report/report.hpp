/// @file
/// Everything that a study leaves behind, written in one call.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "branchlora/io/atomic_file.hpp"
#include "branchlora/report/comparison.hpp"
#include "branchlora/report/curves.hpp"
#include "branchlora/report/heat_map.hpp"
#include "branchlora/report/long_csv.hpp"
#include "branchlora/report/run_record.hpp"
#include "branchlora/report/table.hpp"

namespace branchlora::report {

/// Writes the tables and pictures of `runs` beside each other, each file whole or not at all:
/// `<stem>.md` and `<stem>.tex` (comparison and per-task tables), `<stem>.csv` (every value),
/// `<stem>-matrix.svg`, `<stem>-tasks.svg` and, if a method was scored after every task,
/// `<stem>-methods.svg`. Creates the folder. Throws as `group_by_method` does, or if a file cannot
/// be written.
inline void write_report(const std::filesystem::path& stem, std::span<const RunResult> runs,
                         const TableOptions& options = {}) {
  const auto write = [&](const char* suffix, const std::string& content) {
    io::write_file(std::filesystem::path(stem) += suffix, content);
  };
  const Table comparison = comparison_table(runs, options);
  const Table per_task = per_task_table(
      runs, {.title = "Each task, just trained → at the end", .decimals = options.decimals});
  if (stem.has_parent_path()) std::filesystem::create_directories(stem.parent_path());
  write(".md", to_markdown(comparison) + "\n" + to_markdown(per_task));
  write(".tex", to_latex(comparison) + "\n" + to_latex(per_task));
  write(".csv", to_long_csv(runs));
  write("-matrix.svg", heat_map_svg(runs));
  write("-tasks.svg", curves_by_task_svg(runs));
  if (has_stages(runs)) write("-methods.svg", curves_by_method_svg(runs));
}

}  // namespace branchlora::report
