/// @file
/// The accuracy matrix of every method as a picture.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "branchlora/report/run_record.hpp"

namespace branchlora::report {

/// Accuracy matrices as heat maps, one a method, means over seeds: a row is a stage of training
/// (the task trained on), a column the task scored on, the number is the score in percent, a frame
/// marks the task just trained; grey is not measured. Methods that were scored only at the end
/// share the last map, a row each. Throws as `group_by_method` does.
std::string heat_map_svg(std::span<const RunResult> runs,
                         std::string_view title = "Accuracy matrices");

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/heat_map-inl.hpp"
#endif
