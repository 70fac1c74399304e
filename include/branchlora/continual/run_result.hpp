/// @file
/// What one method scored with one seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "branchlora/continual/accuracy_matrix.hpp"
#include "branchlora/continual/run_config.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::continual {

/// What one method scored with one seed. Scores are percent; NaN and empty are "not measured".
struct RunResult {
  std::string method;      ///< as its row is titled
  std::uint64_t seed = 0;  ///< the result depends on nothing else
  std::string protocol;    ///< `Task-IL`, `Domain-IL` or `Class-IL`
  Index trainable = 0;     ///< trainable parameters, the router's among them
  Index router = 0;        ///< of which router
  /// mean time of one training step, with what strategies do before and after a task in equal parts
  double step_ms = not_measured;
  double train_seconds = not_measured;  ///< wall time of training, evaluation left out
  /// `T x T`, row: after training on, column: scored on; the name that the definitions use.
  AccuracyMatrix R;                         // NOLINT(readability-identifier-naming)
  std::vector<double> zero_shot;            ///< T scores of the untrained model, or empty
  std::optional<double> selector_accuracy;  ///< percent of questions sent to their own task
  std::optional<double> selector_gap;       ///< points of ACC that the true task would add
  std::vector<std::string> tasks;           ///< T names, in the order of training
  std::vector<Index> stage_steps;           ///< T counts of training steps, or empty
  std::vector<double> stage_seconds;        ///< T wall times, or empty
  RunConfig config;                         ///< every hyper-parameter, free in form
};

}  // namespace branchlora::continual
