/// @file
/// Row-wise work that is interleaved with a product of the same rows.
#pragma once

#include <array>
#include <functional>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// Work on the rows of some matrices that a product uses afterwards, or that reads what the product
/// reads. A backend does all of it before the product, or interleaves it with the product, some
/// rows at a time, so that these are still in the cache.
template <class B>
struct RowWork {
  using T = typename B::Scalar;
  /// Does the rows `first .. first + count`, each by itself, whatever the order, on the backend
  /// that it is given.
  using Rows = std::function<void(B&, Index first, Index count)>;

  /// Makes what the product uses of a row. Any number of threads may do some rows each.
  Rows rows;
  /// Adds some rows to sums over all rows. Called for a range after `rows` was, from the first row
  /// on, by one thread at a time; empty if there are no sums.
  Rows sums;
  /// The large matrices that the work reads, to be fetched ahead.
  std::array<MatrixView<const T>, 2> reads{};
};

}  // namespace branchlora
