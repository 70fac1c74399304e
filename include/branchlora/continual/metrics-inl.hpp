/// @file
/// The bodies of `metrics.hpp`.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "branchlora/continual/metrics.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE std::size_t task_count(const AccuracyMatrix& r) {
  expect(r.shape(0) == r.shape(1) && r.shape(0) > 0,
         "accuracy matrix: expected T x T with T >= 1, found {} x {}", r.shape(0), r.shape(1));
  return r.shape(0);
}

BRANCHLORA_INLINE double acc(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t j = 0; j < tasks; ++j) sum += r(tasks - 1, j);
  return sum / static_cast<double>(tasks);
}

BRANCHLORA_INLINE double maa(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t i = 0; i < tasks; ++i) {
    double seen = 0;
    for (std::size_t j = 0; j <= i; ++j) seen += r(i, j);
    sum += seen / static_cast<double>(i + 1);
  }
  return sum / static_cast<double>(tasks);
}

BRANCHLORA_INLINE double bwt(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t j = 0; j < tasks; ++j) sum += r(tasks - 1, j) - r(j, j);
  return sum / static_cast<double>(tasks);
}

BRANCHLORA_INLINE double bwt_gem(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  if (tasks == 1) return not_measured;
  return bwt(r) * static_cast<double>(tasks) / static_cast<double>(tasks - 1);
}

BRANCHLORA_INLINE double forgetting(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  if (tasks == 1) return not_measured;
  const std::size_t last = tasks - 1;
  double sum = 0;
  for (std::size_t j = 0; j < last; ++j) {
    double best = r(j, j);
    for (std::size_t l = 0; l < last; ++l) {
      if (l < j && std::isnan(r(l, j))) continue;
      if (std::isnan(r(l, j))) return not_measured;
      best = std::max(best, r(l, j));
    }
    sum += best - r(last, j);
  }
  return sum / static_cast<double>(last);
}

BRANCHLORA_INLINE double forward_transfer(const AccuracyMatrix& r,
                                          std::span<const double> zero_shot) {
  const std::size_t tasks = task_count(r);
  expect(zero_shot.empty() || zero_shot.size() == tasks,
         "forward transfer: expected {} zero-shot scores, found {}", tasks, zero_shot.size());
  if (tasks == 1 || zero_shot.empty()) return not_measured;
  double sum = 0;
  for (std::size_t j = 1; j < tasks; ++j) sum += r(j - 1, j) - zero_shot[j];
  return sum / static_cast<double>(tasks - 1);
}

BRANCHLORA_INLINE double selector_gap(const AccuracyMatrix& found, const AccuracyMatrix& given) {
  return acc(given) - acc(found);
}

BRANCHLORA_INLINE double just_trained(const AccuracyMatrix& r) {
  const std::size_t tasks = task_count(r);
  double sum = 0;
  for (std::size_t j = 0; j < tasks; ++j) sum += r(j, j);
  return sum / static_cast<double>(tasks);
}

}  // namespace branchlora::continual
