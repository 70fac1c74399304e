/// @file
/// A frozen matrix in the order in which the kernel of its products reads it.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/bfloat16.hpp"
#include "branchlora/eigen/memory.hpp"
#include "branchlora/eigen/simd.hpp"
#include "branchlora/eigen/tiles.hpp"

namespace branchlora::eigen {
namespace gemm {

/// What a packed matrix may hold. Sums are in float.
template <class S>
concept Storage = std::same_as<S, float> || std::same_as<S, bfloat16>;

/// Products per step of the kernel: bfloat16 comes in pairs, which share a float's lane.
template <Storage S>
inline constexpr Index pair = std::same_as<S, bfloat16> ? 2 : 1;

/// A block's rows are filled up with zeros to a multiple of this.
template <Storage S>
inline constexpr Index granule =
    std::same_as<S, bfloat16>&& tiles::exist ? 2 * tiles::size : pair<S>;

/// Columns of a panel: two registers of results.
template <Storage S>
inline constexpr Index panel = 2 * simd::lanes<float>;

/// Depth of a block: a register block's share of x stays in the first-level cache.
template <Storage S>
inline constexpr Index depth = 1024 / static_cast<Index>(sizeof(S));

/// Memory at cache line boundaries.
template <class T>
struct Aligned {
  using value_type = T;
  Aligned() = default;
  template <class U>
  Aligned(const Aligned<U>&) {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_lines(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) { release_lines(p); }
  friend bool operator==(Aligned, Aligned) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, Aligned<T>>;

constexpr Index round_up(Index n, Index to) { return (n + to - 1) / to * to; }

}  // namespace gemm

/// A frozen `rows x cols` matrix, stored for products `y = x P`. The forward product of a linear
/// layer, `y = x W^T`, takes `PackedMatrix<S>::transposed(w)`; its backward, `dx = dy W`, takes
/// `PackedMatrix<S>(w)`.
template <gemm::Storage S>
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// Packs `m` (`rows x cols`); elements are rounded to the storage type.
  explicit PackedMatrix(MatrixView<const float> m)
      : PackedMatrix(m.rows, m.cols, [&](Index i, Index j) { return S(m(i, j)); }) {}

  /// Packs the transpose of `m` (`cols x rows`).
  static PackedMatrix transposed(MatrixView<const float> m) {
    return PackedMatrix(m.cols, m.rows, [&](Index i, Index j) { return S(m(j, i)); });
  }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  /// Bytes of the packed elements, padding included.
  std::size_t bytes() const { return elements_.size() * sizeof(S); }

  /// The panel of columns from `column` on, in the block of rows from `row` on.
  const S* panel(Index row, Index column) const {
    const Index block_rows =
        gemm::round_up(std::min(gemm::depth<S>, rows_ - row), gemm::granule<S>);
    return elements_.data() + row * padded_cols() + column * block_rows;
  }

 private:
  Index padded_cols() const { return gemm::round_up(cols_, gemm::panel<S>); }

  template <class Element>
  PackedMatrix(Index rows, Index cols, const Element& element) : rows_(rows), cols_(cols) {
    const Index padded_rows = gemm::round_up(rows, gemm::granule<S>);
    elements_.resize(static_cast<std::size_t>(padded_rows * padded_cols()));
    S* to = elements_.data();
    for (Index block = 0; block < rows; block += gemm::depth<S>) {
      const Index end = std::min(block + gemm::depth<S>, padded_rows);
      for (Index column = 0; column < cols; column += gemm::panel<S>)
        for (Index i = block; i < end; i += gemm::pair<S>)
          for (Index j = column; j < column + gemm::panel<S>; ++j)
            for (Index p = i; p < i + gemm::pair<S>; ++p)
              *to++ = p < rows && j < cols ? element(p, j) : S{};
    }
  }

  Index rows_ = 0;
  Index cols_ = 0;
  gemm::AlignedVector<S> elements_;
};

}  // namespace branchlora::eigen
