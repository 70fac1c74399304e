/// @file
/// A batch of sequences of different lengths in one matrix, without padding.
#pragma once

#include <vector>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// A run of tokens that attend to each other. `first` and `count` are rows of the token matrix.
/// Every token also sees the `prefix_count` rows from `prefix_first` on (an image that several
/// turns share), which belong to an earlier span.
struct Span {
  Index first = 0;
  Index count = 0;
  Index prefix_first = 0;
  Index prefix_count = 0;
};

/// How the rows of a token matrix fall into sequences and, within them, into attention spans.
///
/// A sequence is one sample: routers that choose per sequence choose once for each. A span is what
/// attention works on: a plain sample is one span; a sample with several turns about one image is a
/// span for the image and one for each turn, with the image as its prefix.
struct Sequences {
  std::vector<Index> offsets{0};  ///< Sequence s holds rows offsets[s] .. offsets[s + 1].
  std::vector<Span> spans;        ///< In row order; together they cover every row once.

  Index count() const { return static_cast<Index>(offsets.size()) - 1; }
  Index tokens() const { return offsets.back(); }

  /// Appends a sequence of `length` tokens that is one span.
  void push(Index length) {
    spans.push_back({tokens(), length, 0, 0});
    offsets.push_back(tokens() + length);
  }

  /// Appends a sequence of one shared prefix and turns that see it and themselves.
  void push(Index prefix, const std::vector<Index>& turns) {
    const Index first = tokens();
    spans.push_back({first, prefix, 0, 0});
    Index row = first + prefix;
    for (const Index turn : turns) {
      spans.push_back({row, turn, first, prefix});
      row += turn;
    }
    offsets.push_back(row);
  }

  void clear() {
    offsets.assign(1, 0);
    spans.clear();
  }
};

}  // namespace branchlora
