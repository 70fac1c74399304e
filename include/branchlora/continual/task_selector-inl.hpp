/// @file
/// The bodies of `task_selector.hpp`.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "branchlora/continual/task_selector.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE void TaskSelector::add(Index task, const Embedding& embedding) {
  expect(task >= 0 && task <= std::ssize(keys_), "selector: task {} comes before task {}", task,
         keys_.size());
  if (task == std::ssize(keys_)) keys_.push_back({});
  Embedding& key = keys_[static_cast<std::size_t>(task)];
  add_unit(embedding.image, key.image);
  add_unit(embedding.text, key.text);
}

BRANCHLORA_INLINE Index TaskSelector::select(const Embedding& embedding) const {
  expect(!keys_.empty(), "selector: there is no task to select");
  Index best = 0;
  double highest = -3;
  for (Index t = 0; t < std::ssize(keys_); ++t) {
    const Embedding& key = keys_[static_cast<std::size_t>(t)];
    const double score = cosine(embedding.image, key.image) + cosine(embedding.text, key.text);
    if (score > highest) {
      highest = score;
      best = t;
    }
  }
  return best;
}

BRANCHLORA_INLINE double TaskSelector::dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

BRANCHLORA_INLINE double TaskSelector::cosine(std::span<const double> a,
                                              std::span<const double> b) {
  if (a.size() != b.size() || a.empty()) return 0;  // a sample without a picture
  const double norms = std::sqrt(dot(a, a) * dot(b, b));
  return norms > 0 ? dot(a, b) / norms : 0;
}

BRANCHLORA_INLINE void TaskSelector::add_unit(std::span<const double> v, std::vector<double>& key) {
  if (v.empty()) return;
  if (key.empty()) key.assign(v.size(), 0.0);
  expect(key.size() == v.size(), "selector: embeddings of {} and {} numbers", key.size(), v.size());
  const double norm = std::sqrt(dot(v, v));
  for (std::size_t i = 0; i < v.size() && norm > 0; ++i) key[i] += v[i] / norm;
}

}  // namespace branchlora::continual
