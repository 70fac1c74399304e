/// @file
/// Whole matrices, filled and copied.
#pragma once

#include <algorithm>
#include <type_traits>

#include "branchlora/core/matrix.hpp"

namespace branchlora::eigen {

/// Sets every element.
template <class T>
void fill(MatrixView<T> m, std::type_identity_t<T> value) {
  for (Index i = 0; i < m.rows; ++i) std::fill_n(m.row(i), m.cols, value);
}

/// Copies every element; both are of one shape.
template <class T>
void copy(MatrixView<const std::type_identity_t<T>> from, MatrixView<T> to) {
  for (Index i = 0; i < from.rows; ++i) std::copy_n(from.row(i), from.cols, to.row(i));
}

}  // namespace branchlora::eigen
