/// @file
/// Matrices as the library passes them around: row-major views that own nothing.
#pragma once

#include <cstddef>
#include <type_traits>

#include "branchlora/core/error.hpp"

namespace branchlora {

/// Signed type of every extent and index.
using Index = std::ptrdiff_t;

/// A row-major `rows x cols` matrix in memory that somebody else owns, host or device. Row `i`
/// starts at `data + i * stride`. A batch of sequences is one matrix, a token a row.
template <class T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index stride = 0;

  constexpr MatrixView() = default;
  constexpr MatrixView(T* data_, Index rows_, Index cols_)
      : data(data_), rows(rows_), cols(cols_), stride(cols_) {}
  constexpr MatrixView(T* data_, Index rows_, Index cols_, Index stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}

  /// A view of mutable elements reads as a view of constant ones.
  template <class U>
  requires(std::is_same_v<T, const U>) constexpr MatrixView(
      const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  constexpr T* row(Index i) const { return data + i * stride; }
  constexpr T& operator()(Index i, Index j) const { return data[i * stride + j]; }
  constexpr Index size() const { return rows * cols; }
  constexpr bool empty() const { return size() == 0; }
  constexpr bool contiguous() const { return stride == cols || rows <= 1; }

  /// Rows `first .. first + count`.
  constexpr MatrixView middle_rows(Index first, Index count) const {
    return {data + first * stride, count, cols, stride};
  }
  /// Columns `first .. first + count`.
  constexpr MatrixView middle_cols(Index first, Index count) const {
    return {data + first, rows, count, stride};
  }
};

/// Throws unless `m` is `rows x cols`; `what` names the matrix in the message.
template <class T>
void expect_shape(const MatrixView<T>& m, Index rows, Index cols, const char* what) {
  expect(m.rows == rows && m.cols == cols, "{}: expected shape {} x {}, found {} x {}", what, rows,
         cols, m.rows, m.cols);
}

}  // namespace branchlora
