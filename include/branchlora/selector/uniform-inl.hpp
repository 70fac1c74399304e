/// @file
/// The bodies of `uniform.hpp`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/selector/task_selector-inl.hpp"
#include "branchlora/selector/uniform.hpp"

namespace branchlora {

BRANCHLORA_INLINE void UniformSelector::add(Index task, const Embedding& /*embedding*/) {
  detail::expect_known_or_next(task, tasks_);
  tasks_ = std::max(tasks_, task + 1);
}

BRANCHLORA_INLINE Index UniformSelector::select(const Embedding& /*embedding*/) const {
  detail::expect_tasks(tasks_);
  return 0;
}

BRANCHLORA_INLINE std::vector<double> UniformSelector::weights(
    const Embedding& /*embedding*/) const {
  detail::expect_tasks(tasks_);
  return std::vector<double>(static_cast<std::size_t>(tasks_), 1.0 / static_cast<double>(tasks_));
}

BRANCHLORA_INLINE HostMatrices<double> UniformSelector::state() const {
  return {{"tasks", {1, 1, {static_cast<double>(tasks_)}}}};
}

BRANCHLORA_INLINE void UniformSelector::restore(const HostMatrices<double>& state) {
  const double tasks = detail::matrix_of(state, "tasks", 1, 1).values.front();
  expect(tasks >= 0 && tasks == static_cast<double>(static_cast<Index>(tasks)),
         "selector: expected a number of tasks, found {}", tasks);
  tasks_ = static_cast<Index>(tasks);
}

}  // namespace branchlora
