/// @file
/// Matrix products through cuBLAS.
#pragma once

#include <algorithm>
#include <limits>
#include <type_traits>

#include "branchlora/core/backend.hpp"
#include "branchlora/cuda/bfloat16.hpp"
#include "branchlora/cuda/memory.hpp"

namespace branchlora::cuda {

/// cuBLAS's name of a type.
template <class T>
inline constexpr cudaDataType_t data_type = CUDA_R_32F;
template <>
inline constexpr cudaDataType_t data_type<double> = CUDA_R_64F;
template <>
inline constexpr cudaDataType_t data_type<Bfloat16> = CUDA_R_16BF;

/// Products of row-major matrices on one stream, with a workspace that is allocated once: cuBLAS
/// then allocates nothing and gives the same bits each time.
class Products {
 public:
  Products(Pool& pool, cudaStream_t stream) : workspace_(pool), blas_(make_blas(stream)) {
    check(cublasSetWorkspace(blas_.get(), workspace_.get<std::byte>(workspace_bytes),
                             static_cast<std::size_t>(workspace_bytes)),
          "setting the workspace");
  }

  /// Lets products of floats round their factors to TF32 (10 bits), which tensor cores multiply.
  void set_tf32(bool on) { tf32_ = on; }
  bool tf32() const { return tf32_; }

  /// c = alpha op(a) op(b) + beta c. The factors are of c's type, or both of bfloat16 beside a c of
  /// float; sums are of c's type.
  template <class Factor, class T>
  void gemm(Op op_a, Op op_b, std::type_identity_t<T> alpha, MatrixView<const Factor> a,
            MatrixView<const Factor> b, std::type_identity_t<T> beta, MatrixView<T> c) {
    const Index depth = op_a == Op::none ? a.cols : a.rows;
    expect_shape(a, op_a == Op::none ? c.rows : depth, op_a == Op::none ? depth : c.rows,
                 "the first factor of a product");
    expect_shape(b, op_b == Op::none ? depth : c.cols, op_b == Op::none ? c.cols : depth,
                 "the second factor of a product");
    if (c.empty()) return;
    // cuBLAS is column-major: c^T = op(b)^T op(a)^T, all of them read as they lie.
    check(cublasGemmEx(blas_.get(), turned(op_b), turned(op_a), narrow(c.cols), narrow(c.rows),
                       narrow(depth), &alpha, b.data, data_type<Factor>, leading(b), a.data,
                       data_type<Factor>, leading(a), &beta, c.data, data_type<T>, leading(c),
                       compute_type<Factor, T>(), CUBLAS_GEMM_DEFAULT),
          "a product");
  }

 private:
  /// What cuBLAS recommends for its newest devices.
  static constexpr Index workspace_bytes = Index{32} << 20;

  static cublasOperation_t turned(Op op) { return op == Op::none ? CUBLAS_OP_N : CUBLAS_OP_T; }

  static int narrow(Index n) {
    expect(n <= std::numeric_limits<int>::max(),
           "CUDA: a product's extent: expected below 2^31, found {}", n);
    return static_cast<int>(n);
  }

  template <class T>
  static int leading(const MatrixView<T>& m) {
    return narrow(std::max<Index>(m.rows > 1 ? m.stride : m.cols, 1));
  }

  template <class Factor, class T>
  cublasComputeType_t compute_type() const {
    if constexpr (std::is_same_v<T, double>) {
      return CUBLAS_COMPUTE_64F;
    } else {
      return tf32_ && std::is_same_v<Factor, float> ? CUBLAS_COMPUTE_32F_FAST_TF32
                                                    : CUBLAS_COMPUTE_32F;
    }
  }

  Workspace workspace_;
  Blas blas_;
  bool tf32_ = false;
};

}  // namespace branchlora::cuda
