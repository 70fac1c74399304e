/// @file
/// Which task a sample belongs to, by its picture and its words.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "branchlora/core/matrix.hpp"

namespace branchlora::continual {

/// A picture and a text as vectors, neither of which changes while tasks are learned.
struct Embedding {
  std::vector<double> image;
  std::vector<double> text;
};

/// BranchLoRA's task selector (arXiv 2506.02041): an image key and a text key for each task, and a
/// sample goes to the task with the largest cos(image, key) + cos(text, key).
///
/// With fixed embeddings the paper's alignment loss, the sum of 1 - cos(e, k), has its optimum at
/// the sum of the unit embeddings, so keys are gathered and not trained.
class TaskSelector {
 public:
  /// Adds a training sample of a task. Tasks are numbered from 0 in the order in which they come.
  void add(Index task, const Embedding& embedding);

  /// The task whose keys are nearest; of equals, the earlier.
  Index select(const Embedding& embedding) const;

  Index tasks() const { return std::ssize(keys_); }
  const std::vector<Embedding>& keys() const { return keys_; }
  void set_keys(std::vector<Embedding> keys) { keys_ = std::move(keys); }

 private:
  static double dot(std::span<const double> a, std::span<const double> b);

  static double cosine(std::span<const double> a, std::span<const double> b);

  static void add_unit(std::span<const double> v, std::vector<double>& key);

  std::vector<Embedding> keys_;
};

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/task_selector-inl.hpp"
#endif
