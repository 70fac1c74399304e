/// @file
/// The selector of the nearest keys: BranchLoRA's.
#pragma once

#include <vector>

#include "branchlora/selector/task_selector.hpp"

namespace branchlora {

/// BranchLoRA's task selector (arXiv 2506.02041): an image key and a text key for each task, and a
/// sample goes to the task with the largest cos(image, key) + cos(text, key).
///
/// With fixed embeddings the paper's alignment loss, the sum of 1 - cos(e, k), has its optimum at
/// the sum of the unit embeddings, so keys are gathered and not trained.
class NearestKeySelector : public TaskSelector {
 public:
  explicit NearestKeySelector(Reads reads = Reads::both) : reads_(reads) {}

  void add(Index task, const Embedding& embedding) override;
  Index select(const Embedding& embedding) const override;
  Index tasks() const override { return std::ssize(keys_); }
  Index bytes() const override;
  /// `image` and `text`, the keys as rows; a task without pictures has zeros.
  HostMatrices<double> state() const override;
  void restore(const HostMatrices<double>& state) override;

  const std::vector<Embedding>& keys() const { return keys_; }

 protected:
  /// cos(image, key) + cos(text, key) for the keys of each task.
  std::vector<double> similarities(const Embedding& embedding) const;

 private:
  Reads reads_;
  std::vector<Embedding> keys_;
};

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/selector/nearest_key-inl.hpp"
#endif
