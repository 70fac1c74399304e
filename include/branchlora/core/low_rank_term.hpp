/// @file
/// A product of low rank that is added to another one.
#pragma once

#include <array>

#include "branchlora/core/chosen.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// The matrix `scale * u w` with u `T x R`, w `R x n` and R small, each token with the rows of w
/// that it chose.
template <class T>
struct LowRankTerm {
  MatrixView<const T> u, w;
  T scale{};
  Chosen chosen{};

  constexpr bool empty() const { return w.rows == 0; }
};

/// Up to two such matrices, which are added in their order.
template <class T>
using LowRankTerms = std::array<LowRankTerm<T>, 2>;

}  // namespace branchlora
