/// @file
/// The bodies of `svd.hpp`.
#pragma once

#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/svd.hpp"

namespace branchlora {

BRANCHLORA_INLINE Svd svd(const HostMatrix<double>& matrix) {
  using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  expect(std::all_of(matrix.values.begin(), matrix.values.end(),
                     [](double x) { return std::isfinite(x); }),
         "svd: expected a {} x {} matrix of finite numbers, found one that is not", matrix.rows,
         matrix.cols);
  const Index k = std::min(matrix.rows, matrix.cols);
  Svd result{{matrix.rows, k, std::vector<double>(static_cast<std::size_t>(matrix.rows * k))},
             std::vector<double>(static_cast<std::size_t>(k)),
             {k, matrix.cols, std::vector<double>(static_cast<std::size_t>(k * matrix.cols))}};
  if (k == 0) return result;
  const Eigen::BDCSVD<Eigen::MatrixXd> parts(
      Eigen::Map<const Rows>(matrix.values.data(), matrix.rows, matrix.cols),
      Eigen::ComputeThinU | Eigen::ComputeThinV);
  expect(parts.info() == Eigen::Success, "svd: the decomposition of a {} x {} matrix failed",
         matrix.rows, matrix.cols);
  Eigen::Map<Rows> u(result.u.values.data(), matrix.rows, k);
  Eigen::Map<Rows> vt(result.vt.values.data(), k, matrix.cols);
  u = parts.matrixU();
  vt = parts.matrixV().transpose();
  for (Index i = 0; i < k; ++i) {
    result.s[static_cast<std::size_t>(i)] = parts.singularValues()(i);
    Index largest = 0;
    vt.row(i).cwiseAbs().maxCoeff(&largest);
    if (vt(i, largest) >= 0) continue;
    vt.row(i) *= -1.0;
    u.col(i) *= -1.0;
  }
  return result;
}

}  // namespace branchlora
