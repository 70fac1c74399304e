/// @file
/// The bodies of `softmax_keys.hpp`.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/selector/softmax_keys.hpp"
#include "branchlora/selector/task_selector-inl.hpp"

namespace branchlora {

BRANCHLORA_INLINE SoftmaxKeySelector::SoftmaxKeySelector(Reads reads, double temperature)
    : NearestKeySelector(reads), temperature_(temperature) {
  expect(temperature > 0, "selector: expected a temperature above 0, found {}", temperature);
}

BRANCHLORA_INLINE std::vector<double> SoftmaxKeySelector::weights(
    const Embedding& embedding) const {
  std::vector<double> w = similarities(embedding);
  detail::expect_tasks(tasks());
  const double highest = std::ranges::max(w);
  double sum = 0;
  for (double& v : w) sum += v = std::exp((v - highest) / temperature_);
  for (double& v : w) v /= sum;
  return w;
}

}  // namespace branchlora
