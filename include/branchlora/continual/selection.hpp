/// @file
/// The selectors of a run: what they learn, what is scored where they find the tasks, and the
/// records of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "branchlora/adapter/any_adapter.hpp"
#include "branchlora/continual/evaluate.hpp"
#include "branchlora/continual/metrics.hpp"
#include "branchlora/continual/run_result.hpp"
#include "branchlora/continual/snapshot.hpp"
#include "branchlora/continual/task_data.hpp"

namespace branchlora::continual {

/// Lets the selectors of a run learn from all samples of a split, which are of task `t`.
template <Backend B>
void add_task(Progressed& done, Index t, const Split<B>& split) {
  for (Selected& s : done.selectors) {
    for (const Embedding& e : split.embeddings) s.selector->add(t, e);
    s.selector->end_task();
  }
}

/// Adds the scores of task j, one of `tasks`, to the last row that there is of each selector's and
/// of those without one. `score(choice)` scores all questions of `test` by the tasks of a
/// `TaskChoice`; the same choice is scored once. `told` is the task to tell.
template <Backend B, class Score>
void score_task(const Split<B>& test, Index j, Index told, std::size_t tasks, Progressed& done,
                Score score) {
  std::map<TaskChoice, double> known;
  const auto once = [&](const TaskChoice& choice) {
    const auto [entry, is_new] = known.try_emplace(choice);
    if (is_new) entry->second = score(choice);
    return entry->second;
  };
  for (Selected& s : done.selectors) {
    const TaskChoice choice = choose_tasks(*s.selector, test.embeddings);
    s.scores.back().push_back(once(choice));
    const auto hits = static_cast<double>(std::ranges::count(choice.tasks, j));
    s.accuracy += 100.0 * hits / static_cast<double>(choice.tasks.size() * tasks);
  }
  const auto questions = static_cast<std::size_t>(test.size());
  done.scores.back().push_back(once({std::vector(questions, static_cast<std::int32_t>(told)), {}}));
}

/// Writes the scores that there are into the rows of R.
void fill_rows(AccuracyMatrix& matrix, const std::vector<std::vector<double>>& scores);

namespace detail {

/// Adds which selector found the tasks, and the bytes that it keeps, as `selector_bytes`.
void add_selector(RunConfig& config, const std::string& title, Index bytes);

}  // namespace detail

/// What a run called `name` calls its records: after each selector of the method, of which the
/// first needs no mention, and one with the task given; where there is no selector, there is one.
template <Backend B>
std::vector<std::string> record_names(const Method<B>& method, const std::string& name) {
  std::vector<std::string> names{name};
  for (std::size_t k = 1; k < method.selectors.size(); ++k) {
    names.push_back(name + ", " + method.selectors[k].title);
  }
  if (!method.selectors.empty()) names.push_back(name + ", task given");
  return names;
}

/// The records of a run with its scores, one for each selector and one with the true task given;
/// without a selector, the one that there is.
template <Backend B>
std::vector<RunResult> scored_records(const Method<B>& method, const Progressed& done,
                                      const RunResult& result) {
  std::vector<RunResult> records;
  for (const std::string& name : record_names(method, result.method)) {
    records.push_back(result);
    records.back().method = name;
  }
  fill_rows(records.back().R, done.scores);
  if (method.selects) records.back().protocol = "Task-IL";
  for (std::size_t k = 0; k < done.selectors.size(); ++k) {
    const Selected& s = done.selectors[k];
    fill_rows(records[k].R, s.scores);
    records[k].selector_accuracy = s.accuracy;
    records[k].selector_gap = selector_gap(records[k].R, records.back().R);
    detail::add_selector(records[k].config, method.selectors[k].title, s.selector->bytes());
  }
  return records;
}

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/selection-inl.hpp"
#endif
