/// @file
/// Every score and metric of every run as one long CSV, a value a line, for other tools to plot.
#pragma once

#include <span>
#include <string>

#include "branchlora/report/run_record.hpp"

namespace branchlora::report {

/// `seed,method,trained_task,eval_task,step,metric,value`, a line a value, fields quoted after
/// RFC 4180, lines ended by a line feed. `trained_task` is the last task trained, empty for the
/// untrained model; `eval_task` is empty for metrics of all tasks; `step` counts training steps
/// from the start of the run and is empty where they were not recorded. A value that was not
/// measured has no line. Values keep all their digits.
std::string to_long_csv(std::span<const RunResult> runs);

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/long_csv-inl.hpp"
#endif
