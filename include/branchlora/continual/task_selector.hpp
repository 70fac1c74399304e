/// @file
/// Which task a sample belongs to, by its picture and its words.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "branchlora/core/error.hpp"
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
  void add(Index task, const Embedding& embedding) {
    expect(task >= 0 && task <= std::ssize(keys_), "selector: task {} comes before task {}", task,
           keys_.size());
    if (task == std::ssize(keys_)) keys_.push_back({});
    Embedding& key = keys_[static_cast<std::size_t>(task)];
    add_unit(embedding.image, key.image);
    add_unit(embedding.text, key.text);
  }

  /// The task whose keys are nearest; of equals, the earlier.
  Index select(const Embedding& embedding) const {
    expect(!keys_.empty(), "selector: there is no task to select");
    Index best = 0;
    double highest = -3;
    for (Index t = 0; t < std::ssize(keys_); ++t) {
      const Embedding& key = keys_[static_cast<std::size_t>(t)];
      const double score =
          cosine(embedding.image, key.image) + cosine(embedding.text, key.text);
      if (score > highest) {
        highest = score;
        best = t;
      }
    }
    return best;
  }

  Index tasks() const { return std::ssize(keys_); }
  const std::vector<Embedding>& keys() const { return keys_; }
  void set_keys(std::vector<Embedding> keys) { keys_ = std::move(keys); }

 private:
  static double dot(std::span<const double> a, std::span<const double> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }

  static double cosine(std::span<const double> a, std::span<const double> b) {
    if (a.size() != b.size() || a.empty()) return 0;  // a sample without a picture
    const double norms = std::sqrt(dot(a, a) * dot(b, b));
    return norms > 0 ? dot(a, b) / norms : 0;
  }

  static void add_unit(std::span<const double> v, std::vector<double>& key) {
    if (v.empty()) return;
    if (key.empty()) key.assign(v.size(), 0.0);
    expect(key.size() == v.size(), "selector: embeddings of {} and {} numbers", key.size(),
           v.size());
    const double norm = std::sqrt(dot(v, v));
    for (std::size_t i = 0; i < v.size() && norm > 0; ++i) key[i] += v[i] / norm;
  }

  std::vector<Embedding> keys_;
};

}  // namespace branchlora::continual
