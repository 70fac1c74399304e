/// @file
/// How matrices are described to cuBLAS and cuBLASLt.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include "branchlora/core/backend.hpp"
#include "branchlora/cuda/bfloat16.hpp"
#include "branchlora/cuda/runtime.hpp"

namespace branchlora::cuda::blas {

/// The name of a type.
template <class T>
inline constexpr cudaDataType_t data_type = CUDA_R_32F;
template <>
inline constexpr cudaDataType_t data_type<double> = CUDA_R_64F;
template <>
inline constexpr cudaDataType_t data_type<Bfloat16> = CUDA_R_16BF;

/// What sums are taken in where the result is of T and the factors are of `Factor`.
template <class Factor, class T>
cublasComputeType_t compute_type(bool tf32) {
  if constexpr (std::is_same_v<T, double>) {
    return CUBLAS_COMPUTE_64F;
  } else {
    return tf32 && std::is_same_v<Factor, float> ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                 : CUBLAS_COMPUTE_32F;
  }
}

/// An extent as cuBLAS takes it. Throws `Error` if it is too large.
inline int narrow(Index n) {
  expect(n <= std::numeric_limits<int>::max(),
         "CUDA: a product's extent: expected below 2^31, found {}", n);
  return static_cast<int>(n);
}

/// The leading dimension of a row-major matrix, which is column-major and transposed to cuBLAS.
template <class T>
int leading(const MatrixView<T>& m) {
  return narrow(std::max<Index>(m.rows > 1 ? m.stride : m.cols, 1));
}

}  // namespace branchlora::cuda::blas
