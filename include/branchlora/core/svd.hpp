/// @file
/// The singular value decomposition of a small matrix on the host.
#pragma once

#include <vector>

#include "branchlora/core/host_matrix.hpp"

namespace branchlora {

/// M = U diag(s) V^T of an m x n matrix, with k = min(m, n).
struct Svd {
  HostMatrix<double> u;   ///< m x k, of orthonormal columns.
  std::vector<double> s;  ///< Descending, at least 0.
  HostMatrix<double> vt;  ///< k x n, of orthonormal rows.
};

/// Decomposes a matrix. Singular vectors are known up to a common sign: here the element of each
/// right one that is largest by magnitude (of equals, the first) is positive, so that the result
/// depends on the matrix alone. Throws `Error` if an element is not finite.
Svd svd(const HostMatrix<double>& matrix);

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/core/svd-inl.hpp"
#endif
