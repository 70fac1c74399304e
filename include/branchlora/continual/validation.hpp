/// @file
/// Choosing hyper-parameters without looking at a test split.
#pragma once

#include <vector>

#include "branchlora/continual/task_data.hpp"

namespace branchlora::continual {

/// The tasks with a part of their training samples in place of their test samples: every `every`-th
/// sample is held out, with all others about the same picture left where they are.
template <Backend B>
std::vector<TaskData<B>> hold_out(std::span<const TaskData<B>> tasks, Index every = 10) {
  std::vector<TaskData<B>> result;
  for (const TaskData<B>& task : tasks) {
    TaskData<B> t{task.info, {}, {}};
    t.train.bank = t.test.bank = task.train.bank;
    for (Index i = 0; i < task.train.size(); ++i) {
      Split<B>& side = i % every == every - 1 ? t.test : t.train;
      const auto k = static_cast<std::size_t>(i);
      side.samples.push_back(task.train.samples[k]);
      side.examples.push_back(task.train.examples[k]);
      side.embeddings.push_back(task.train.embeddings[k]);
    }
    result.push_back(std::move(t));
  }
  return result;
}

}  // namespace branchlora::continual
