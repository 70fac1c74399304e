/// @file
/// How batches are drawn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/data/sampler.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE BatchSampler::BatchSampler(Index samples, Index batch, Random random)
    : samples_(samples), batch_(batch), random_(random) {
  expect(samples > 0 && batch > 0,
         "sampler: expected at least one sample and one in a batch, found {} and {}", samples,
         batch);
}

BRANCHLORA_INLINE std::vector<Index> BatchSampler::batch(Index b) {
  expect(b >= 0, "sampler: expected a batch number of at least 0, found {}", b);
  std::vector<Index> chosen;
  chosen.reserve(static_cast<std::size_t>(batch_));
  for (Index at = b * batch_; at < (b + 1) * batch_; ++at) {
    chosen.push_back(order(at / samples_)[static_cast<std::size_t>(at % samples_)]);
  }
  return chosen;
}

BRANCHLORA_INLINE const std::vector<Index>& BatchSampler::order(Index epoch) {
  if (epoch != epoch_) {
    order_ = random_.fork(static_cast<std::uint64_t>(epoch)).permutation(samples_);
    epoch_ = epoch;
  }
  return order_;
}

}  // namespace branchlora::data
