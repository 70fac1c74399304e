/// @file
/// The bodies of `comparison.hpp`.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/continual/metrics.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/report/comparison.hpp"
#include "branchlora/report/method_runs.hpp"
#include "branchlora/report/statistics.hpp"

namespace branchlora::report {

namespace detail {

/// The smallest and largest of a whole quantity over the runs: `213,504`, or `200–300`.
template <class Value>
std::string format_range(std::span<const RunResult* const> runs, Value value) {
  const auto [low, high] = std::ranges::minmax(runs, {}, value);
  const std::string first = format_count(std::invoke(value, low));
  const std::string last = format_count(std::invoke(value, high));
  return first == last ? first : first + "–" + last;
}

/// A property of runs such as the protocol, in words: what most methods have, then the others'
/// (`Domain-IL (BranchLoRA, task given: Task-IL)`).
template <class Property>
std::string describe(const std::vector<MethodRuns>& groups, Property property) {
  std::vector<std::string> values(groups.size());
  std::ranges::transform(groups, values.begin(), property);
  const std::string usual = std::ranges::max(
      values, {}, [&](const std::string& value) { return std::ranges::count(values, value); });
  std::vector<std::string> others;
  for (std::size_t g = 0; g < groups.size(); ++g)
    if (values[g] != usual) others.push_back(groups[g].method + ": " + values[g]);
  return others.empty() ? usual : fmt::format("{} ({})", usual, fmt::join(others, "; "));
}

BRANCHLORA_INLINE std::string describe_steps(const RunResult& run) {
  if (run.trainable == 0) return "none";
  if (run.stage_steps.empty()) return "not recorded";
  if (only_end_scored(run.R)) {
    return fmt::format("{} in all", std::reduce(run.stage_steps.begin(), run.stage_steps.end()));
  }
  const auto [low, high] = std::ranges::minmax(run.stage_steps);
  return low == high ? fmt::format("{}", low) : fmt::format("{} to {}", low, high);
}

/// Protocol, tasks, steps and seeds: what the numbers above depend on.
BRANCHLORA_INLINE Table::Note protocol_note(const std::vector<MethodRuns>& groups) {
  const std::vector<std::string>& tasks = groups.front().runs.front()->tasks;
  const std::string protocol = describe(groups, [](const MethodRuns& group) {
    std::set<std::string> names;
    for (const RunResult* run : group.runs) names.insert(run->protocol);
    return fmt::format("{}", fmt::join(names, " and "));
  });
  const std::string steps = describe(groups, [](const MethodRuns& group) {
    std::set<std::string> counts;
    for (const RunResult* run : group.runs) counts.insert(describe_steps(*run));
    return fmt::format("{}", fmt::join(counts, " or "));
  });
  const std::string seeds = describe(groups, [](const MethodRuns& group) {
    std::vector<std::uint64_t> values;
    for (const RunResult* run : group.runs) values.push_back(run->seed);
    std::ranges::sort(values);
    return fmt::format("{}", fmt::join(values, ", "));
  });
  const std::size_t most =
      std::ranges::max(groups, {}, [](const MethodRuns& g) { return g.runs.size(); }).runs.size();
  return {"Protocol",
          fmt::format("{}; T = {} task{} in the order {}; training steps a task: {}; seed{}: {}{}",
                      protocol, tasks.size(), tasks.size() == 1 ? "" : "s", fmt::join(tasks, " → "),
                      steps, most == 1 ? "" : "s", seeds,
                      most == 1 ? "" : "; mean ± sample standard deviation over seeds")};
}

BRANCHLORA_INLINE Table::Note note(const continual::Definition& definition) {
  return {std::string(definition.name), std::string(definition.text),
          std::string(definition.latex)};
}

/// A column of the comparison: its title, its definition, and its value for one run.
struct MetricColumn {
  std::string title;
  Table::Note note;
  std::function<double(const RunResult&)> value;
};

BRANCHLORA_INLINE std::vector<MetricColumn> metric_columns() {
  namespace definition = continual::definition;
  return {
      {"Step (ms)",
       {"Step", "mean wall time of one training step, forward, backward and update"},
       [](const RunResult& run) { return run.step_ms; }},
      {"ACC ↑", note(definition::acc), [](const RunResult& run) { return continual::acc(run.R); }},
      {"MAA ↑", note(definition::maa), [](const RunResult& run) { return continual::maa(run.R); }},
      {"BWT ↑", note(definition::bwt), [](const RunResult& run) { return continual::bwt(run.R); }},
      {"Forgetting ↓", note(definition::forgetting),
       [](const RunResult& run) { return continual::forgetting(run.R); }},
      {"FWT ↑", note(definition::forward_transfer),
       [](const RunResult& run) { return continual::forward_transfer(run.R, run.zero_shot); }},
      {"Selector (%) ↑",
       {"Selector",
        "percent of all tasks' test questions that the task selector sends to their "
        "own task's routers, after the last task"},
       [](const RunResult& run) { return run.selector_accuracy.value_or(not_measured); }},
      {"Gap ↓", note(definition::selector_gap),
       [](const RunResult& run) { return run.selector_gap.value_or(not_measured); }},
  };
}

}  // namespace detail

BRANCHLORA_INLINE Table comparison_table(std::span<const RunResult> runs,
                                         const TableOptions& options) {
  const std::vector<MethodRuns> groups = group_by_method(runs);
  Table table{.title = options.title,
              .columns = {{"Method", false}, {"Trainable"}, {"Router"}},
              .rows = {},
              .notes = {detail::protocol_note(groups),
                        {"Trainable",
                         "parameters that training changes; Router: of which in "
                         "routers"},
                        detail::note(continual::definition::matrix)}};
  for (const MethodRuns& group : groups) {
    table.rows.push_back({group.method, detail::format_range(group.runs, &RunResult::trainable),
                          detail::format_range(group.runs, &RunResult::router)});
  }
  for (const detail::MetricColumn& column : detail::metric_columns()) {
    std::vector<Statistic> values(groups.size());
    std::ranges::transform(groups, values.begin(),
                           [&](const MethodRuns& group) { return group.over_seeds(column.value); });
    if (std::ranges::all_of(values, [](const Statistic& s) { return std::isnan(s.mean); }))
      continue;
    table.columns.push_back({column.title});
    table.notes.push_back(column.note);
    for (std::size_t i = 0; i < values.size(); ++i)
      table.rows[i].push_back(format_statistic(values[i], options.decimals));
  }
  return table;
}

BRANCHLORA_INLINE Table per_task_table(std::span<const RunResult> runs,
                                       const TableOptions& options) {
  const std::vector<MethodRuns> groups = group_by_method(runs);
  const std::vector<std::string>& tasks = runs.front().tasks;
  const std::size_t last = tasks.size() - 1;
  Table table{.title = options.title, .columns = {{"Method", false}}, .rows = {}, .notes = {}};
  for (const std::string& task : tasks) table.columns.push_back({task});
  for (const MethodRuns& group : groups) {
    const AccuracyMatrix mean = group.mean_matrix();
    std::vector<std::string> row{group.method};
    for (std::size_t j = 0; j <= last; ++j) {
      const std::string end = format_number(mean(last, j), options.decimals);
      const bool both = j < last && !std::isnan(mean(j, j));
      row.push_back(both ? format_number(mean(j, j), options.decimals) + " → " + end : end);
    }
    table.add_row(std::move(row));
  }
  table.notes = {detail::protocol_note(groups),
                 {"Cells",
                  "R[j][j] → R[T-1][j], score in percent on task j just after training on "
                  "it → at the end; one number: at the end",
                  "$R_{j,j} \\to R_{T-1,j}$, score in percent on task $j$ just after training on "
                  "it $\\to$ at the end; one number: at the end"}};
  return table;
}

}  // namespace branchlora::report
