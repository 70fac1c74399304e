/// @file
/// The tables of a study: methods against metrics, and each task just trained and at the end.
#pragma once

#include <span>
#include <string>

#include "branchlora/report/run_record.hpp"
#include "branchlora/report/table.hpp"

namespace branchlora::report {

/// How a table of a study looks.
struct TableOptions {
  std::string title = {};
  int decimals = 1;  ///< of scores and times
};

/// The comparison of methods: a row a method in the order of first appearance, its trainable
/// parameters, step time and metrics, mean ± standard deviation over its seeds. A value that was
/// not measured prints as `–`; a column that no method has is left out. Under the table stand the
/// protocol and the definition of each metric. Throws as `group_by_method` does.
Table comparison_table(std::span<const RunResult> runs, const TableOptions& options = {});

/// Each task just trained → at the end, a row a method, a column a task, means over seeds. Where
/// only the end was measured (joint training, zero-shot) the cell holds the end alone, and so does
/// the last task's. Throws as `group_by_method` does.
Table per_task_table(std::span<const RunResult> runs, const TableOptions& options = {});

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/comparison-inl.hpp"
#endif
