/// @file
/// Runs of sequences of one task.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "branchlora/core/error.hpp"
#include "branchlora/core/sequences.hpp"

namespace branchlora::gate {

/// Calls f(task, first sequence, last + 1) for each run of sequences of one task. Throws `Error`
/// that names the layer if a task is not among the `begun`.
template <class F>
void for_task_runs(std::span<const std::int32_t> tasks, Index begun, const std::string& name, F f) {
  for (std::size_t first = 0; first < tasks.size();) {
    std::size_t last = first + 1;
    while (last < tasks.size() && tasks[last] == tasks[first]) ++last;
    expect(tasks[first] >= 0 && tasks[first] < begun,
           "{}: a sequence asks for the router of task {}, of {} that were begun", name,
           tasks[first], begun);
    f(static_cast<std::size_t>(tasks[first]), static_cast<Index>(first), static_cast<Index>(last));
    first = last;
  }
}

}  // namespace branchlora::gate
