/// @file
/// The bodies of `long_csv.hpp`.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "branchlora/continual/metrics.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/long_csv.hpp"
#include "branchlora/report/text.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE std::string to_long_csv(std::span<const RunResult> runs) {
  std::string out = "seed,method,trained_task,eval_task,step,metric,value\n";
  for (const RunResult& run : runs) {
    validate(run, run.method);
    const auto line = [&](std::string_view trained, std::string_view evaluated,
                          const std::string& step, std::string_view metric, double value) {
      if (std::isnan(value)) return;
      out += fmt::format("{},{},{},{},{},{},{}\n", run.seed, escape_csv(run.method),
                         escape_csv(trained), escape_csv(evaluated), step, metric, value);
    };
    const std::size_t tasks = run.tasks.size();
    for (std::size_t j = 0; j < run.zero_shot.size(); ++j)
      line("", run.tasks[j], "0", "score", run.zero_shot[j]);
    Index steps = 0;
    std::string step;
    for (std::size_t i = 0; i < tasks; ++i) {
      if (!run.stage_steps.empty()) step = fmt::format("{}", steps += run.stage_steps[i]);
      for (std::size_t j = 0; j < tasks; ++j)
        line(run.tasks[i], run.tasks[j], step, "score", run.R(i, j));
      if (!run.stage_seconds.empty())
        line(run.tasks[i], "", step, "stage_seconds", run.stage_seconds[i]);
    }
    const auto total = [&](std::string_view metric, double value) {
      line(run.tasks.back(), "", step, metric, value);
    };
    total("acc", continual::acc(run.R));
    total("maa", continual::maa(run.R));
    total("bwt", continual::bwt(run.R));
    total("bwt_gem", continual::bwt_gem(run.R));
    total("forgetting", continual::forgetting(run.R));
    total("forward_transfer", continual::forward_transfer(run.R, run.zero_shot));
    total("just_trained", continual::just_trained(run.R));
    total("selector_accuracy", run.selector_accuracy.value_or(not_measured));
    total("selector_gap", run.selector_gap.value_or(not_measured));
    total("step_ms", run.step_ms);
    total("train_seconds", run.train_seconds);
    total("trainable_parameters", static_cast<double>(run.trainable));
    total("router_parameters", static_cast<double>(run.router));
  }
  return out;
}

}  // namespace branchlora::report
