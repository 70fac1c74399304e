/// @file
/// Everything that a study leaves behind, written in one call.
#pragma once

#include <filesystem>
#include <span>

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
void write_report(const std::filesystem::path& stem, std::span<const RunResult> runs,
                  const TableOptions& options = {});

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/report-inl.hpp"
#endif
