/// @file
/// The keys and values that greedy generation has already computed.
#pragma once

#include <vector>

#include "branchlora/autograd/tape.hpp"

namespace branchlora::model {

/// Keys and values of every layer for a batch of sequences, each with room for `room` tokens.
template <Backend B>
class KvCache {
 public:
  using T = typename B::Scalar;

  /// For sequences of the given lengths after the prefill, each to grow by `extra` tokens.
  KvCache(B& backend, Index layers, Index width, const Sequences& prefill, Index extra)
      : backend_(&backend) {
    Index first = 0;
    for (Index s = 0; s < prefill.count(); ++s) {
      const auto i = static_cast<std::size_t>(s);
      const Index length = prefill.offsets[i + 1] - prefill.offsets[i];
      ranges_.push_back({first, length});
      first += length + extra;
    }
    for (Index l = 0; l < layers; ++l) {
      keys_.emplace_back(backend, first, width);
      values_.emplace_back(backend, first, width);
    }
  }

  /// Keeps what the prefill of one layer computed.
  void fill(Index layer, const Sequences& sequences, MatrixView<const T> k, MatrixView<const T> v) {
    const auto l = static_cast<std::size_t>(layer);
    for (std::size_t s = 0; s < ranges_.size(); ++s) {
      const auto [first, count] = ranges_[s];
      backend_->copy(k.middle_rows(sequences.offsets[s], count),
                     keys_[l].view().middle_rows(first, count));
      backend_->copy(v.middle_rows(sequences.offsets[s], count),
                     values_[l].view().middle_rows(first, count));
    }
  }

  /// Keeps one more token of every sequence. The first layer of a step makes the room.
  void append(Index layer, MatrixView<const T> k, MatrixView<const T> v) {
    const auto l = static_cast<std::size_t>(layer);
    for (std::size_t s = 0; s < ranges_.size(); ++s) {
      if (layer == 0) ++ranges_[s].count;
      const Index row = ranges_[s].first + ranges_[s].count - 1;
      backend_->copy(k.middle_rows(static_cast<Index>(s), 1), keys_[l].view().middle_rows(row, 1));
      backend_->copy(v.middle_rows(static_cast<Index>(s), 1),
                     values_[l].view().middle_rows(row, 1));
    }
  }

  /// out = the attention of one query for each sequence over all that is kept of it.
  void attend(Index layer, const AttentionShape& shape, MatrixView<const T> q, MatrixView<T> out,
              Tape<B>& tape) const {
    const auto l = static_cast<std::size_t>(layer);
    const KeyRange* ranges = tape.upload(std::span<const KeyRange>(ranges_));
    backend_->attention_cached(ranges, shape, q, keys_[l].view(), values_[l].view(), out);
  }

 private:
  B* backend_;
  std::vector<KeyRange> ranges_;
  std::vector<Buffer<B>> keys_, values_;
};

}  // namespace branchlora::model
