/// @file
/// Which samples each step trains on.
#pragma once

#include <vector>

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
  BatchSampler(Index samples, Index batch, Random random);

  /// Sample indices of batch number `b`, counted from 0 over all epochs.
  std::vector<Index> batch(Index b);

  /// Number of batches after which every sample has been seen `epochs` times.
  Index batches(Index epochs = 1) const { return (samples_ * epochs + batch_ - 1) / batch_; }

 private:
  const std::vector<Index>& order(Index epoch);

  Index samples_;
  Index batch_;
  Random random_;
  Index epoch_ = -1;
  std::vector<Index> order_;  // of epoch_; kept to save time, never needed to know a batch
};

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/sampler-inl.hpp"
#endif
