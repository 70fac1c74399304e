/// @file
/// Which samples each step trains on.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora::data {

/// Batches of a data set in random order, without replacement: an epoch is a permutation of the
/// samples, and batches run on from one epoch into the next, all of the same size.
///
/// Batch `b` depends on the random family and `b` alone, so a run that is resumed at any step goes
/// on exactly as if it had not stopped.
class BatchSampler {
 public:
  /// Batches of `batch` out of `samples`. Throws `Error` unless both are positive.
  BatchSampler(Index samples, Index batch, Random random)
      : samples_(samples), batch_(batch), random_(random) {
    expect(samples > 0 && batch > 0,
           "sampler: expected at least one sample and one in a batch, found {} and {}", samples,
           batch);
  }

  /// Sample indices of batch number `b`, counted from 0 over all epochs.
  std::vector<Index> batch(Index b) {
    expect(b >= 0, "sampler: expected a batch number of at least 0, found {}", b);
    std::vector<Index> chosen;
    chosen.reserve(static_cast<std::size_t>(batch_));
    for (Index at = b * batch_; at < (b + 1) * batch_; ++at) {
      chosen.push_back(order(at / samples_)[static_cast<std::size_t>(at % samples_)]);
    }
    return chosen;
  }

  /// Number of batches after which every sample has been seen `epochs` times.
  Index batches(Index epochs = 1) const { return (samples_ * epochs + batch_ - 1) / batch_; }

 private:
  const std::vector<Index>& order(Index epoch) {
    if (epoch != epoch_) {
      order_ = random_.fork(static_cast<std::uint64_t>(epoch)).permutation(samples_);
      epoch_ = epoch;
    }
    return order_;
  }

  Index samples_;
  Index batch_;
  Random random_;
  Index epoch_ = -1;
  std::vector<Index> order_;  // of epoch_; kept to save time, never needed to know a batch
};

}  // namespace branchlora::data
