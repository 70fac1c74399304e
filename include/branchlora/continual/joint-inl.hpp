/// @file
/// The bodies of `joint.hpp`.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "branchlora/continual/joint.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE RunResult zero_shot_result(const std::vector<double>& scores,
                                             const std::vector<std::string>& tasks,
                                             const Options& o) {
  RunResult result;
  result.method = "Zero-shot";
  result.seed = o.seed;
  result.protocol = "Domain-IL";
  result.tasks = tasks;
  result.config = o.to_json();
  result.R = empty_accuracy_matrix(tasks.size());
  for (std::size_t j = 0; j < tasks.size(); ++j) result.R(tasks.size() - 1, j) = scores[j];
  return result;
}

}  // namespace branchlora::continual
