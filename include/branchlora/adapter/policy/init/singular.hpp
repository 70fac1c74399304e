/// @file
/// Factors out of singular vectors: what starts have in common.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "branchlora/adapter/policy/start.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/svd.hpp"

namespace branchlora::init {

/// The decomposition of a matrix that the policy `name` asked for, of which it reads the first
/// `count` singular values. Throws `Error` that names layer and policy if there are fewer.
inline Svd decompose(const Given& given, const HostMatrix<double>& matrix, Index count,
                     std::string_view name) {
  expect(count <= std::min(matrix.rows, matrix.cols),
         "{}: {} at rank {} reads {} singular values, but those of a {} x {} matrix are {}",
         given.layer, name, given.rank, count, matrix.rows, matrix.cols,
         std::min(matrix.rows, matrix.cols));
  return svd(matrix);
}

/// Singular value i.
inline double value(const Svd& parts, Index i) { return parts.s[static_cast<std::size_t>(i)]; }

/// Right singular vectors first .. first + count as rows, vector i times factor(i).
template <class Factor>
HostMatrix<double> right_vectors(const Svd& parts, Index first, Index count, Factor factor) {
  HostMatrix<double> rows{count, parts.vt.cols, {}};
  for (Index i = first; i < first + count; ++i) {
    for (Index c = 0; c < rows.cols; ++c) {
      rows.values.push_back(factor(i) *
                            parts.vt.values[static_cast<std::size_t>(i * parts.vt.cols + c)]);
    }
  }
  return rows;
}

/// The same of left singular vectors, as rows too.
template <class Factor>
HostMatrix<double> left_vectors(const Svd& parts, Index first, Index count, Factor factor) {
  HostMatrix<double> rows{count, parts.u.rows, {}};
  for (Index i = first; i < first + count; ++i) {
    for (Index r = 0; r < rows.cols; ++r) {
      rows.values.push_back(factor(i) *
                            parts.u.values[static_cast<std::size_t>(r * parts.u.cols + i)]);
    }
  }
  return rows;
}

/// m n.
inline HostMatrix<double> times(const HostMatrix<double>& m, const HostMatrix<double>& n) {
  HostMatrix<double> product{m.rows, n.cols,
                             std::vector<double>(static_cast<std::size_t>(m.rows * n.cols))};
  for (Index r = 0; r < m.rows; ++r) {
    double* to = product.values.data() + r * n.cols;
    for (Index k = 0; k < m.cols; ++k) {
      const double factor = m.values[static_cast<std::size_t>(r * m.cols + k)];
      const double* from = n.values.data() + k * n.cols;
      for (Index c = 0; c < n.cols; ++c) to[c] += factor * from[c];
    }
  }
  return product;
}

}  // namespace branchlora::init
