/// @file
/// Products with a fused bias, or the sum of its gradient: the epilogues of cuBLASLt.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <map>
#include <utility>

#include "branchlora/cuda/blas.hpp"

namespace branchlora::cuda {

/// Products of row-major matrices on one stream. The algorithm for a shape is chosen once and kept.
/// Those that sum in an order of chance are left out, so that equal calls give equal bits.
class FusedProducts {
 public:
  /// The workspace is the caller's, and may be shared with whatever else runs on the stream.
  FusedProducts(void* workspace, std::size_t workspace_bytes, cudaStream_t stream)
      : workspace_(workspace), workspace_bytes_(workspace_bytes), stream_(stream) {
    cublasLtHandle_t created = nullptr;
    check(cublasLtCreate(&created), "creating a handle of cuBLASLt");
    handle_.reset(created);
  }

  /// y = x w^T with `bias`, of y's width, added to every row. False, with nothing done, where
  /// cuBLASLt has no algorithm.
  template <class Factor, class T>
  bool forward(MatrixView<const Factor> x, MatrixView<const Factor> w, const T* bias,
               MatrixView<T> y, bool tf32) {
    // To cuBLAS, y^T = w x^T, with the bias added to every column.
    return multiply<Factor>({.epilogue = CUBLASLT_EPILOGUE_BIAS,
                             .op_a = CUBLAS_OP_T,
                             .op_b = CUBLAS_OP_N,
                             .depth = blas::narrow(x.cols)},
                            w, x, false, y, bias, tf32);
  }

  /// dw (+)= dy^T x, and the sums of dy's columns in `dbias`. False, with nothing done, where
  /// cuBLASLt has no algorithm.
  template <class T>
  bool backward(MatrixView<const T> dy, MatrixView<const T> x, bool add, MatrixView<T> dw, T* dbias,
                bool tf32) {
    // To cuBLAS, dw^T = x^T dy, with the sums of the second factor over the rows of both.
    return multiply<T>({.epilogue = CUBLASLT_EPILOGUE_BGRADB,
                        .op_a = CUBLAS_OP_N,
                        .op_b = CUBLAS_OP_T,
                        .depth = blas::narrow(x.rows)},
                       x, dy, add, dw, dbias, tf32);
  }

 private:
  /// What the choice of an algorithm depends on.
  struct Shape {
    cublasLtEpilogue_t epilogue;
    cublasOperation_t op_a, op_b;
    int depth;
    int rows = 0, cols = 0, lda = 0, ldb = 0, ldc = 0;
    cudaDataType_t factor = CUDA_R_32F;
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
    std::uint32_t align_a = 0, align_b = 0, align_c = 0;

    auto operator<=>(const Shape&) const = default;
  };

  using Operation = Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
  using Layout = Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
  using Preference = Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

  /// A shape described to cuBLASLt, and its algorithm, if there is one.
  struct Plan {
    Operation operation;
    Layout a, b, c;
    cublasLtMatmulAlgo_t algorithm;
    bool found = false;
  };

  /// c^T (+)= op(a^T) op(b^T) of row-major matrices, with an epilogue.
  template <class Factor, class T>
  bool multiply(Shape shape, MatrixView<const Factor> a, MatrixView<const Factor> b, bool add,
                MatrixView<T> c, const T* bias, bool tf32) {
    if (c.empty() || shape.depth == 0) return false;
    shape.rows = blas::narrow(c.cols);
    shape.cols = blas::narrow(c.rows);
    shape.lda = blas::leading(a);
    shape.ldb = blas::leading(b);
    shape.ldc = blas::leading(c);
    shape.factor = blas::data_type<Factor>;
    shape.compute = blas::compute_type<Factor, T>(tf32);
    shape.align_a = alignment(a.data);
    shape.align_b = alignment(b.data);
    shape.align_c = std::min(alignment(c.data), alignment(bias));
    const Plan& plan = plan_for(shape);
    if (!plan.found) return false;
    set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    const T alpha = 1;
    const T beta = add ? 1 : 0;
    check(cublasLtMatmul(handle_.get(), plan.operation.get(), &alpha, a.data, plan.a.get(), b.data,
                         plan.b.get(), &beta, c.data, plan.c.get(), c.data, plan.c.get(),
                         &plan.algorithm, workspace_, workspace_bytes_, stream_),
          "a product with a bias");
    return true;
  }

  const Plan& plan_for(const Shape& shape) {
    // There may be batches of many sizes: not every one is worth remembering for ever.
    constexpr std::size_t most = 4096;
    if (const auto found = plans_.find(shape); found != plans_.end()) return found->second;
    if (plans_.size() == most) plans_.clear();
    return plans_.emplace(shape, make_plan(shape)).first->second;
  }

  Plan make_plan(const Shape& s) const {
    const cudaDataType_t type =
        s.compute == CUBLAS_COMPUTE_64F ? blas::data_type<double> : blas::data_type<float>;
    Plan plan;
    cublasLtMatmulDesc_t operation = nullptr;
    check(cublasLtMatmulDescCreate(&operation, s.compute, type), "describing a product");
    plan.operation.reset(operation);
    set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, s.op_a);
    set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, s.op_b);
    set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, s.epilogue);
    plan.a = layout(s.factor, s.op_a, s.rows, s.depth, s.lda);
    plan.b = layout(s.factor, s.op_b, s.depth, s.cols, s.ldb);
    plan.c = layout(type, CUBLAS_OP_N, s.rows, s.cols, s.ldc);

    cublasLtMatmulPreference_t created = nullptr;
    check(cublasLtMatmulPreferenceCreate(&created), "describing a product");
    const Preference wish(created);
    set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes_);
    set(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
        std::uint32_t{CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE});
    set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, s.align_a);
    set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, s.align_b);
    set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, s.align_c);
    set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, s.align_c);
    cublasLtMatmulHeuristicResult_t best{};
    int count = 0;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(handle_.get(), operation, plan.a.get(), plan.b.get(),
                                       plan.c.get(), plan.c.get(), created, 1, &best, &count);
    // Combinations of types that it does not know are invalid to it as well.
    if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE) {
      check(status, "choosing an algorithm");
    }
    plan.found =
        status == CUBLAS_STATUS_SUCCESS && count > 0 && best.state == CUBLAS_STATUS_SUCCESS;
    plan.algorithm = best.algo;
    return plan;
  }

  /// A matrix that is `rows` x `cols` once `op` was applied.
  static Layout layout(cudaDataType_t type, cublasOperation_t op, int rows, int cols, int ld) {
    if (op == CUBLAS_OP_T) std::swap(rows, cols);
    cublasLtMatrixLayout_t created = nullptr;
    check(cublasLtMatrixLayoutCreate(&created, type, static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(cols), ld),
          "describing a matrix");
    return Layout(created);
  }

  /// The largest power of two up to 256 that divides an address, in bytes.
  static std::uint32_t alignment(const void* pointer) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer) | 256U;
    return static_cast<std::uint32_t>(address & -address);
  }

  template <class Value>
  static void set(const Operation& operation, cublasLtMatmulDescAttributes_t what, Value value) {
    check(cublasLtMatmulDescSetAttribute(operation.get(), what, &value, sizeof(value)),
          "describing a product");
  }
  template <class Value>
  static void set(const Preference& wish, cublasLtMatmulPreferenceAttributes_t what, Value value) {
    check(cublasLtMatmulPreferenceSetAttribute(wish.get(), what, &value, sizeof(value)),
          "describing a product");
  }

  void* workspace_;
  std::size_t workspace_bytes_;
  cudaStream_t stream_;
  Handle<cublasLtHandle_t, cublasLtDestroy> handle_;
  std::map<Shape, Plan> plans_;
};

}  // namespace branchlora::cuda
