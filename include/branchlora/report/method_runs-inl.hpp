/// @file
/// The bodies of `method_runs.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>
#include <xtensor/xadapt.hpp>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/method_runs.hpp"

namespace branchlora::report {

BRANCHLORA_INLINE AccuracyMatrix MethodRuns::mean_matrix() const {
  const auto array = [](auto values) {
    return xt::adapt(values.data(), values.size(), xt::no_ownership(), std::array{values.size()});
  };
  AccuracyMatrix mean = runs.front()->R;
  auto sum = array(mean.values());
  for (std::size_t i = 1; i < runs.size(); ++i) sum += array(runs[i]->R.values());
  sum /= static_cast<double>(runs.size());
  return mean;
}

BRANCHLORA_INLINE std::vector<double> MethodRuns::mean_zero_shot() const {
  std::vector<double> mean(runs.front()->tasks.size());
  for (const RunResult* run : runs) {
    if (run->zero_shot.empty()) return {};
    for (std::size_t j = 0; j < mean.size(); ++j)
      mean[j] += run->zero_shot[j] / static_cast<double>(runs.size());
  }
  return mean;
}

BRANCHLORA_INLINE std::vector<MethodRuns> group_by_method(std::span<const RunResult> runs) {
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

BRANCHLORA_INLINE bool only_end_scored(const AccuracyMatrix& r) {
  return r.shape(0) > 1 && std::isnan(r(0, 0));
}

BRANCHLORA_INLINE std::string describe_mean(const std::vector<MethodRuns>& groups) {
  const auto [least, most] =
      std::ranges::minmax(groups, {}, [](const MethodRuns& group) { return group.runs.size(); });
  if (most.runs.size() == 1) return "one seed";
  if (least.runs.size() == most.runs.size())
    return fmt::format("mean over {} seeds", most.runs.size());
  return fmt::format("mean over {} to {} seeds", least.runs.size(), most.runs.size());
}

}  // namespace branchlora::report
