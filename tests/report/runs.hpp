/// @file
/// Small runs with round numbers, shared by the tests of this folder.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "branchlora/report/run_record.hpp"

namespace branchlora::report::test {

/// Three tasks, scores that grow by `shift`, everything measured.
inline RunResult make_run(std::string method, std::uint64_t seed, double shift = 0) {
  RunResult run;
  run.method = std::move(method);
  run.seed = seed;
  run.protocol = "Domain-IL";
  run.trainable = 1234;
  run.router = 34;
  run.step_ms = 5.25 + shift;
  run.train_seconds = 12.5;
  run.tasks = {"Letters", "Counting", "Boxes"};
  run.stage_steps = {300, 300, 300};
  run.stage_seconds = {4, 4, 4.5};
  run.zero_shot = {2, 4, 6};
  run.R = continual::empty_accuracy_matrix(3);
  std::ranges::transform(std::array{60, 10, 5, 40, 70, 8, 30, 50, 80}, run.R.values().begin(),
                         [shift](double score) { return score + shift; });
  run.selector_accuracy = 90 + shift;
  run.selector_gap = 2 - shift / 2;
  return run;
}

/// A run that was only scored at the end.
inline RunResult make_joint_run(std::uint64_t seed = 0) {
  RunResult run = make_run("Joint", seed);
  run.R = continual::empty_accuracy_matrix(3);
  for (std::size_t j = 0; j < 3; ++j) run.R(2, j) = 85 + static_cast<double>(j);
  run.selector_accuracy.reset();
  run.selector_gap.reset();
  return run;
}

}  // namespace branchlora::report::test
