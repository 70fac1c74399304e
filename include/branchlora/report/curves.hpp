/// @file
/// The score of each task over the stages of training, as pictures.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "branchlora/report/run_record.hpp"

namespace branchlora::report {

/// One panel a task, one line a method: how well each method keeps the task. A dashed vertical
/// marks the stage that trains it, scores before it are of a task not yet seen; a method that was
/// only scored at the end is a dotted level. Means over seeds. Throws as `group_by_method` does.
std::string curves_by_task_svg(std::span<const RunResult> runs,
                               std::string_view title = "Each task over training");

/// Whether a run was scored after every task, which `curves_by_method_svg` needs.
bool has_stages(std::span<const RunResult> runs);

/// One panel a method, one line a task from the stage that trains it on: how a method forgets.
/// Methods that were only scored at the end are left out. Means over seeds. Throws as
/// `group_by_method` does.
std::string curves_by_method_svg(std::span<const RunResult> runs,
                                 std::string_view title = "Each method over training");

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/curves-inl.hpp"
#endif
