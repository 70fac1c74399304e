/// @file
/// The tasks of a stream, ready to be learned: tokens, vision features and embeddings.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "branchlora/data/task.hpp"
#include "branchlora/model/dataset.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/selector/task_selector.hpp"

namespace branchlora::continual {

/// The samples of one side of a task. Everything is computed from the frozen base, once for all
/// methods and seeds, and only read afterwards.
template <Backend B>
struct Split {
  std::vector<data::Sample> samples;
  std::vector<model::Example> examples;
  model::FeatureBank<B> bank;
  std::vector<Embedding> embeddings;  ///< Of each sample.
  std::string lost;  ///< Which samples lost an answer in tokenisation (`Dataset::losses`).

  Index size() const { return std::ssize(samples); }

  /// Drops all samples but the first `count`, if there are more.
  void keep_first(Index count) {
    const auto n = static_cast<std::size_t>(std::min(count, size()));
    samples.resize(n);
    examples.resize(n);
    embeddings.resize(n);
  }
};

/// A task of the stream.
template <Backend B>
struct TaskData {
  data::TaskInfo info;
  Split<B> train, test;
};

}  // namespace branchlora::continual
