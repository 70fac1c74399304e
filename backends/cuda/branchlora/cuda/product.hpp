/// @file
/// Matrix products through cuBLAS and cuBLASLt.
#pragma once

#include <type_traits>

#include "branchlora/cuda/blas.hpp"
#include "branchlora/cuda/fused_product.hpp"
#include "branchlora/cuda/memory.hpp"

namespace branchlora::cuda {

/// Products of row-major matrices on one stream, with a workspace that is allocated once: cuBLAS
/// then allocates nothing and gives the same bits each time.
class Products {
 public:
  Products(Pool& pool, cudaStream_t stream)
      : workspace_(pool),
        blas_(make_blas(stream)),
        fused_(workspace_.get<std::byte>(workspace_bytes), workspace_bytes, stream) {
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
    check(cublasGemmEx(blas_.get(), turned(op_b), turned(op_a), blas::narrow(c.cols),
                       blas::narrow(c.rows), blas::narrow(depth), &alpha, b.data,
                       blas::data_type<Factor>, blas::leading(b), a.data, blas::data_type<Factor>,
                       blas::leading(a), &beta, c.data, blas::data_type<T>, blas::leading(c),
                       blas::compute_type<Factor, T>(tf32_), CUBLAS_GEMM_DEFAULT),
          "a product");
  }

  /// y = x w^T + bias in each row. False, with nothing done, where it takes two launches.
  template <class Factor, class T>
  bool affine(MatrixView<const Factor> x, MatrixView<const Factor> w, MatrixView<const T> bias,
              MatrixView<T> y) {
    expect_shape(w, y.cols, x.cols, "the weight of an affine product");
    expect_shape(y, x.rows, w.rows, "the result of an affine product");
    expect_shape(bias, 1, y.cols, "the bias of an affine product");
    return fused_.forward(x, w, bias.data, y, tf32_);
  }

  /// dw (+)= dy^T x, and the sums of dy's columns in `dbias`. False, with nothing done, where it
  /// takes two launches.
  template <class T>
  bool affine_backward(MatrixView<const T> dy, MatrixView<const T> x, bool add, MatrixView<T> dw,
                       T* dbias) {
    expect_shape(dw, dy.cols, x.cols, "the gradient of an affine product's weight");
    expect_shape(x, dy.rows, dw.cols, "the input of an affine product");
    return fused_.backward(dy, x, add, dw, dbias, tf32_);
  }

 private:
  /// What cuBLAS recommends for its newest devices.
  static constexpr Index workspace_bytes = Index{32} << 20;

  static cublasOperation_t turned(Op op) { return op == Op::none ? CUBLAS_OP_N : CUBLAS_OP_T; }

  Workspace workspace_;
  Blas blas_;
  FusedProducts fused_;
  bool tf32_ = false;
};

}  // namespace branchlora::cuda
