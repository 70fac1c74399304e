/// @file
/// What the backend's own kernels do with an element, a row or a chunk. Every sum is taken in an
/// order that its shape alone decides.
#pragma once

#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/cuda/bfloat16.hpp"

namespace branchlora::cuda::body {

/// m = value.
template <class T>
struct Fill {
  MatrixView<T> m;
  T value;

  BRANCHLORA_BODY void operator()(Index i) const { m(i / m.cols, i % m.cols) = value; }
};

/// m += row, in each row.
template <class T>
struct AddToRows {
  const T* row;
  MatrixView<T> m;

  BRANCHLORA_BODY void operator()(Index i) const { m(i / m.cols, i % m.cols) += row[i % m.cols]; }
};

/// to = from, rounded; `to` is contiguous.
template <class T>
struct Round {
  MatrixView<const T> from;
  Bfloat16* to;

  BRANCHLORA_BODY void operator()(Index i) const {
    to[i] = round_to_bfloat16(static_cast<float>(from(i / from.cols, i % from.cols)));
  }
};

/// The elements of a matrix, for `Columns`.
template <class T>
struct Elements {
  MatrixView<const T> m;

  BRANCHLORA_BODY T operator()(Index r, Index c) const { return m(r, c); }
};

/// Numbers in a row, for `Total`.
struct Numbers {
  const double* data;

  BRANCHLORA_BODY double operator()(Index i) const { return data[i]; }
};

/// Where number `chunk` of the pieces of 0 .. n - 1 ends.
BRANCHLORA_HD inline Index chunk_end(Index n, Index size, Index chunk) {
  return (chunk + 1) * size < n ? (chunk + 1) * size : n;
}

/// partial[chunk] = the sum of f over a chunk, in double.
template <class F>
struct Total {
  Index n, size;
  F f;
  double* partial;

  template <class Team>
  BRANCHLORA_BODY void operator()(const Team& team, Index chunk) const {
    const Index first = chunk * size;
    const F& term = f;
    partial[chunk] = team.sum(chunk_end(n, size, chunk) - first,
                              [=](Index i) { return static_cast<double>(term(first + i)); });
  }
};

/// out[chunk * cols + c] (+)= the sum over the rows r of a chunk of f(r, c), a thread each.
template <class T, class F>
struct Columns {
  Index rows, cols, size;
  F f;
  T* out;
  bool add;

  BRANCHLORA_BODY void operator()(Index i) const {
    const Index chunk = i / cols;
    const Index c = i % cols;
    T sum = add ? out[i] : T(0);
    for (Index r = chunk * size; r < chunk_end(rows, size, chunk); ++r) sum += f(r, c);
    out[i] = sum;
  }
};

/// to[target(i)] += scale from[i] for all i in order, a column a thread.
template <class T, class Target>
struct Scatter {
  MatrixView<const T> from;
  MatrixView<T> to;
  T scale;
  Target target;

  BRANCHLORA_BODY void operator()(Index c) const {
    for (Index i = 0; i < from.rows; ++i) {
      const Index row = target(i);
      if (row >= 0) to(row, c) += scale * from(i, c);
    }
  }
};

}  // namespace branchlora::cuda::body
