/// @file
/// The bodies of `report.hpp`.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "branchlora/core/inline.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/report/report.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE void write_report(const std::filesystem::path& stem,
                                    std::span<const RunResult> runs, const TableOptions& options) {
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
