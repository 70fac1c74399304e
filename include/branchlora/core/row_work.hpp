/// @file
/// Work on rows that a product of the same rows takes along.
#pragma once

#include <array>
#include <functional>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// Work on the rows of some matrices that must be done before a product uses them, or that reads
/// what the product reads. A backend does it before, or some rows at a time while the product goes
/// on, so that it finds them in the cache.
template <class B>
struct RowWork {
  using T = typename B::Scalar;
  /// Does the rows `first .. first + count`, each by itself, whatever the order, on the backend
  /// that it is given.
  using Rows = std::function<void(B&, Index first, Index count)>;

  /// What the product uses of a row. Any number of threads may do some rows each.
  Rows rows;
  /// Sums over all rows, of which it adds these. Called after `rows` for the same ones, from the
  /// first row on, by one thread at a time; empty if there are none.
  Rows sums;
  /// The matrices that it reads and that are large.
  std::array<MatrixView<const T>, 2> reads{};
};

}  // namespace branchlora
