/// @file
/// The runs of one method with several seeds, as tables and plots take them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/continual/metrics.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/report/run_record.hpp"
#include "branchlora/report/statistics.hpp"

namespace branchlora::report {

/// All runs of one method, one a seed. The runs belong to the list they came from.
struct MethodRuns {
  std::string method;
  std::vector<const RunResult*> runs;

  /// Mean and standard deviation over seeds of `value(run)`.
  template <class Value>
  Statistic over_seeds(Value value) const {
    std::vector<double> values;
    for (const RunResult* run : runs) values.push_back(value(*run));
    return summarize(values);
  }

  /// The accuracy matrix averaged over seeds; a score that one seed lacks is missing.
  AccuracyMatrix mean_matrix() const {
    AccuracyMatrix mean = runs.front()->R;
    for (std::size_t i = 1; i < runs.size(); ++i) mean += runs[i]->R;
    return mean / static_cast<double>(runs.size());
  }

  /// Zero-shot scores averaged over seeds; empty if one seed has none.
  std::vector<double> mean_zero_shot() const {
    std::vector<double> mean(runs.front()->tasks.size());
    for (const RunResult* run : runs) {
      if (run->zero_shot.empty()) return {};
      for (std::size_t j = 0; j < mean.size(); ++j)
        mean[j] += run->zero_shot[j] / static_cast<double>(runs.size());
    }
    return mean;
  }
};

/// Sorts runs by method, in the order in which the methods first appear. Throws unless there is a
/// run, all share the tasks and their order, and no method has a seed twice.
inline std::vector<MethodRuns> group_by_method(std::span<const RunResult> runs) {
  expect(!runs.empty(), "report: expected at least one run, found none");
  std::vector<MethodRuns> groups;
  std::set<std::pair<std::string, std::uint64_t>> seen;
  for (const RunResult& run : runs) {
    validate(run, run.method);
    expect(run.tasks == runs.front().tasks,
           "{}, seed {}: expected the tasks of {}, seed {}, in their order, found others",
           run.method, run.seed, runs.front().method, runs.front().seed);
    expect(seen.emplace(run.method, run.seed).second,
           "{}, seed {}: expected one run a seed, found two", run.method, run.seed);
    auto group = std::ranges::find(groups, run.method, &MethodRuns::method);
    if (group == groups.end()) group = groups.insert(groups.end(), {run.method, {}});
    group->runs.push_back(&run);
  }
  return groups;
}

/// Whether a run of several tasks was scored only at the end, as joint training is.
inline bool only_end_scored(const AccuracyMatrix& r) {
  return r.shape(0) > 1 && std::isnan(r(0, 0));
}

/// What a plotted score is: `mean over 5 seeds`, `one seed`.
inline std::string describe_mean(const std::vector<MethodRuns>& groups) {
  const auto [least, most] =
      std::ranges::minmax(groups, {}, [](const MethodRuns& group) { return group.runs.size(); });
  if (most.runs.size() == 1) return "one seed";
  if (least.runs.size() == most.runs.size())
    return fmt::format("mean over {} seeds", most.runs.size());
  return fmt::format("mean over {} to {} seeds", least.runs.size(), most.runs.size());
}

}  // namespace branchlora::report
