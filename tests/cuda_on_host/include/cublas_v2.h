/// @file
/// Stands in for the header of cuBLAS: the part of it that the CUDA backend uses, run on the host.
/// For tests only.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda_runtime.h"

enum cublasStatus_t {
  CUBLAS_STATUS_SUCCESS = 0,
  CUBLAS_STATUS_NOT_INITIALIZED = 1,
  CUBLAS_STATUS_INVALID_VALUE = 7,
  CUBLAS_STATUS_EXECUTION_FAILED = 13,
  CUBLAS_STATUS_NOT_SUPPORTED = 15,
};
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasComputeType_t {
  CUBLAS_COMPUTE_32F = 68,
  CUBLAS_COMPUTE_64F = 70,
  CUBLAS_COMPUTE_32F_FAST_TF32 = 77,
};
enum cublasGemmAlgo_t { CUBLAS_GEMM_DEFAULT = -1 };
using cublasHandle_t = struct cublasContext*;

inline const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS            ? "success"
         : status == CUBLAS_STATUS_INVALID_VALUE    ? "an invalid value"
         : status == CUBLAS_STATUS_EXECUTION_FAILED ? "the execution failed"
                                                    : "another error";
}

inline cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  auto& device = cuda_on_host::Device::get();
  if (device.enter("cublasCreate")) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = static_cast<cublasHandle_t>(device.new_handle());
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  cuda_on_host::Device::get().delete_handle(handle);
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t) {
  return cuda_on_host::Device::get().enter("cublasSetStream") ? CUBLAS_STATUS_NOT_INITIALIZED
                                                              : CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasSetWorkspace(cublasHandle_t, void* memory, std::size_t bytes) {
  auto& device = cuda_on_host::Device::get();
  if (device.enter("cublasSetWorkspace")) return CUBLAS_STATUS_NOT_INITIALIZED;
  device.expect_inside(memory, bytes, bytes, 1, "cuBLAS's workspace");
  return CUBLAS_STATUS_SUCCESS;
}

namespace cuda_on_host {

/// Element `i` of a matrix of that type, as the tensor cores see it if `tf32`.
inline double element(const void* data, cudaDataType_t type, std::int64_t i, bool tf32) {
  if (type == CUDA_R_64F) return static_cast<const double*>(data)[i];
  if (type == CUDA_R_16BF) {
    const std::uint32_t bits = static_cast<const std::uint16_t*>(data)[i];
    return std::bit_cast<float>(bits << 16U);
  }
  const float x = static_cast<const float*>(data)[i];
  if (!tf32) return x;
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000U) & 0xFFFFE000U);
}

inline std::size_t size_of(cudaDataType_t type) {
  return type == CUDA_R_64F ? 8 : (type == CUDA_R_32F ? 4 : 2);
}

/// c = alpha op(a) op(b) + beta c, column-major, summed in double.
struct Product {
  bool as_is_a, as_is_b;
  std::int64_t m, n, k;
  double alpha, beta;
  const void *a, *b;
  void* c;
  cudaDataType_t factor, type;
  std::int64_t lda, ldb, ldc;
  bool tf32;
  const void* bias = nullptr;  ///< Added to each column, if any.
  void* sums = nullptr;        ///< Receives the sums of op(b)'s columns, if any.

  void expect_inside(Device& device) const {
    expect_inside(device, a, factor, lda, as_is_a ? m : k, as_is_a ? k : m, "a product's a");
    expect_inside(device, b, factor, ldb, as_is_b ? k : n, as_is_b ? n : k, "a product's b");
    expect_inside(device, c, type, ldc, m, n, "a product's c");
  }

  void operator()() const {
    for (std::int64_t j = 0; j < n; ++j) {
      double of_b = 0;
      for (std::int64_t l = 0; l < k; ++l) of_b += at_b(l, j, false);
      if (sums != nullptr) store(sums, j, of_b);
      for (std::int64_t i = 0; i < m; ++i) {
        double sum = 0;
        for (std::int64_t l = 0; l < k; ++l) {
          sum += element(a, factor, as_is_a ? i + l * lda : l + i * lda, tf32) * at_b(l, j, tf32);
        }
        const std::int64_t to = i + j * ldc;
        const double before = beta == 0 ? 0.0 : beta * element(c, type, to, false);
        const double added = bias == nullptr ? 0.0 : element(bias, type, i, false);
        store(c, to, alpha * sum + before + added);
      }
    }
  }

 private:
  static void expect_inside(Device& device, const void* p, cudaDataType_t of, std::int64_t ld,
                            std::int64_t rows, std::int64_t cols, const char* what) {
    const auto bytes = [&](std::int64_t count) {
      return static_cast<std::size_t>(count) * size_of(of);
    };
    device.expect_inside(p, bytes(ld), bytes(rows), static_cast<std::size_t>(cols), what);
  }
  double at_b(std::int64_t l, std::int64_t j, bool rounded) const {
    return element(b, factor, as_is_b ? l + j * ldb : j + l * ldb, rounded);
  }
  void store(void* to, std::int64_t i, double value) const {
    if (type == CUDA_R_64F) {
      static_cast<double*>(to)[i] = value;
    } else {
      static_cast<float*>(to)[i] = static_cast<float>(value);
    }
  }
};

}  // namespace cuda_on_host

/// c = alpha op(a) op(b) + beta c.
inline cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a,
                                   cublasOperation_t op_b, int m, int n, int k, const void* alpha,
                                   const void* a, cudaDataType_t type_a, int lda, const void* b,
                                   cudaDataType_t type_b, int ldb, const void* beta, void* c,
                                   cudaDataType_t type_c, int ldc, cublasComputeType_t compute,
                                   cublasGemmAlgo_t) {
  using cuda_on_host::element;
  auto& device = cuda_on_host::Device::get();
  if (device.enter("cublasGemmEx")) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!device.is_handle(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  const bool a_as_is = op_a == CUBLAS_OP_N;
  const bool b_as_is = op_b == CUBLAS_OP_N;
  if (m < 0 || n < 0 || k < 0 || lda < (a_as_is ? m : k) || ldb < (b_as_is ? k : n) || ldc < m ||
      lda < 1 || ldb < 1 || ldc < 1) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const bool wide = compute == CUBLAS_COMPUTE_64F;
  if (type_a != type_b || wide != (type_a == CUDA_R_64F) || wide != (type_c == CUDA_R_64F)) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const cudaDataType_t scalar = wide ? CUDA_R_64F : CUDA_R_32F;
  const cuda_on_host::Product product{.as_is_a = a_as_is,
                                      .as_is_b = b_as_is,
                                      .m = m,
                                      .n = n,
                                      .k = k,
                                      .alpha = element(alpha, scalar, 0, false),
                                      .beta = element(beta, scalar, 0, false),
                                      .a = a,
                                      .b = b,
                                      .c = c,
                                      .factor = type_a,
                                      .type = type_c,
                                      .lda = lda,
                                      .ldb = ldb,
                                      .ldc = ldc,
                                      .tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32};
  product.expect_inside(device);
  if (!device.violations().empty()) return CUBLAS_STATUS_INVALID_VALUE;
  device.queue(product);
  return CUBLAS_STATUS_SUCCESS;
}
