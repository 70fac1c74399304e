/// @file
/// Eigen, without its own threads: the backend cuts the work itself, so that results do not depend
/// on how many there are.
#pragma once

#if defined(EIGEN_CORE_H) && defined(_OPENMP) && !defined(EIGEN_DONT_PARALLELIZE)
#error "branchlora: include its headers before Eigen's, or compile with EIGEN_DONT_PARALLELIZE"
#endif
#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE
#endif

#include <Eigen/Core>  // IWYU pragma: export

#include <type_traits>

#include "branchlora/core/matrix.hpp"

namespace branchlora::eigen::detail {

template <class T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
using Map = Eigen::Map<
    std::conditional_t<std::is_const_v<T>, const RowMajor<std::remove_const_t<T>>, RowMajor<T>>,
    Eigen::Unaligned, Eigen::OuterStride<>>;

/// An Eigen view of a matrix.
template <class T>
Map<T> map(const MatrixView<T>& m) {
  return Map<T>(m.data, m.rows, m.cols, Eigen::OuterStride<>(m.stride));
}

}  // namespace branchlora::eigen::detail
