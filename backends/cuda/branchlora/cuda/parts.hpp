/// @file
/// Many small arrays in one launch.
#pragma once

#include <span>
#include <vector>

#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/cuda/bodies.hpp"
#include "branchlora/cuda/memory.hpp"

namespace branchlora::cuda::parts {

/// A list of parts on the device, cut into pieces of at most `size` elements, each of one part.
template <class Part>
struct Pieces {
  const Part* parts;
  const Index* ends;  ///< How many pieces there are up to the end of each part.
  Index size;

  /// The number of the part that a piece belongs to.
  BRANCHLORA_HD Index part_of(Index piece, Index count) const {
    Index first = 0;
    while (count > 0) {
      const Index half = count / 2;
      if (ends[first + half] <= piece) {
        first += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    return first;
  }
};

/// body(part, i) for one element of each piece.
template <class Part, class Body>
struct Each {
  Pieces<Part> pieces;
  Index count;
  Body body;

  BRANCHLORA_BODY void operator()(Index i) const {
    const Index piece = i / pieces.size;
    const Index p = pieces.part_of(piece, count);
    const Index first = p == 0 ? 0 : pieces.ends[p - 1];
    const Index element = i - first * pieces.size;
    if (element < pieces.parts[p].size) body(pieces.parts[p], element);
  }
};

/// partial[piece] = the sum of f(part, i) over a piece, in double.
template <class Part, class F>
struct Total {
  Pieces<Part> pieces;
  Index count;
  F f;
  double* partial;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index piece) const {
    const Index p = pieces.part_of(piece, count);
    const Part part = pieces.parts[p];
    const Index of_part = piece - (p == 0 ? 0 : pieces.ends[p - 1]);
    const Index first = of_part * pieces.size;
    const F& term = f;
    partial[piece] = team.sum(body::chunk_end(part.size, pieces.size, of_part) - first,
                              [=](Index i) { return static_cast<double>(term(part, first + i)); });
  }
};

/// The list that was given last, in memory that is kept.
class List {
 public:
  explicit List(Pool& pool) : parts_(pool), ends_(pool) {}

  /// Cuts `parts` into pieces of `size`, whose number is that of `pieces()` then.
  template <class Part>
  Pieces<Part> cut(std::span<const Part> parts, Index size, Staging& staging) {
    host_.clear();
    count_ = 0;
    for (const Part& part : parts) host_.push_back(count_ += (part.size + size - 1) / size);
    auto* on_device = parts_.template get<Part>(std::ssize(parts));
    auto* ends = ends_.template get<Index>(std::ssize(host_));
    staging.upload(on_device, parts.data(), parts.size_bytes());
    staging.upload(ends, host_.data(), host_.size() * sizeof(Index));
    return {on_device, ends, size};
  }
  Index pieces() const { return count_; }

 private:
  Workspace parts_, ends_;
  std::vector<Index> host_;
  Index count_ = 0;
};

}  // namespace branchlora::cuda::parts
