/// @file
/// The runs of one method with several seeds, as tables and plots take them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "branchlora/continual/metrics.hpp"
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
  AccuracyMatrix mean_matrix() const;

  /// Zero-shot scores averaged over seeds; empty if one seed has none.
  std::vector<double> mean_zero_shot() const;
};

/// Sorts runs by method, in the order in which the methods first appear. Throws unless there is a
/// run, all share the tasks and their order, and no method has a seed twice.
std::vector<MethodRuns> group_by_method(std::span<const RunResult> runs);

/// Whether a run of several tasks was scored only at the end, as joint training is.
bool only_end_scored(const AccuracyMatrix& r);

/// What a plotted score is: `mean over 5 seeds`, `one seed`.
std::string describe_mean(const std::vector<MethodRuns>& groups);

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/method_runs-inl.hpp"
#endif
