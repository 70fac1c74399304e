/// @file
/// Stands in for the header of cuBLASLt: products with a bias, run on the host. For tests only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "cublas_v2.h"

enum cublasLtEpilogue_t {
  CUBLASLT_EPILOGUE_DEFAULT = 1,
  CUBLASLT_EPILOGUE_BIAS = 4,
  CUBLASLT_EPILOGUE_BGRADB = 512,
};
enum cublasLtReductionScheme_t { CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2 };
enum cublasLtMatmulDescAttributes_t {
  CUBLASLT_MATMUL_DESC_TRANSA = 3,
  CUBLASLT_MATMUL_DESC_TRANSB = 4,
  CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
};
enum cublasLtMatmulPreferenceAttributes_t {
  CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
  CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
  CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8,
};

using cublasLtHandle_t = struct cublasLtContext*;
using cublasLtMatmulDesc_t = struct cublasLtMatmulDescOpaque_t*;
using cublasLtMatrixLayout_t = struct cublasLtMatrixLayoutOpaque_t*;
using cublasLtMatmulPreference_t = struct cublasLtMatmulPreferenceOpaque_t*;

/// Here: what the algorithm was chosen for, and the alignments that it relies on.
struct cublasLtMatmulAlgo_t {
  std::uint64_t data[16];
};
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  std::size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};

namespace cuda_on_host {

struct Operation {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cudaDataType_t scale = CUDA_R_32F;
  cublasOperation_t op_a = CUBLAS_OP_N, op_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
};
struct Layout {
  cudaDataType_t type = CUDA_R_32F;
  std::uint64_t rows = 0, cols = 0;
  std::int64_t ld = 0;
};
struct Preference {
  std::uint64_t workspace = 0;
  std::uint32_t reduction = 7;
  std::uint32_t alignment[4] = {256, 256, 256, 256};
};

/// The objects of one kind by their handles.
template <class T>
std::map<const void*, T>& objects() {
  static thread_local std::map<const void*, T> all;
  return all;
}
template <class T>
void* create(const T& object) {
  void* handle = Device::get().new_handle();
  objects<T>()[handle] = object;
  return handle;
}
template <class T>
cublasStatus_t destroy(void* handle) {
  objects<T>().erase(handle);
  Device::get().delete_handle(handle);
  return CUBLAS_STATUS_SUCCESS;
}

/// Takes an attribute over, if it has the size of its field.
template <class Field>
cublasStatus_t assign(Field& field, const void* value, std::size_t bytes) {
  if (bytes != sizeof(field)) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&field, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

/// All that an algorithm is chosen for but the alignments.
inline cublasLtMatmulAlgo_t described(const Operation& o, const Layout& a, const Layout& b,
                                      const Layout& c) {
  const auto number = [](auto x) { return static_cast<std::uint64_t>(x); };
  return {{number(o.compute) << 32U | number(o.scale), number(o.op_a) << 32U | number(o.op_b),
           number(o.epilogue), number(a.type), a.rows, a.cols, number(a.ld), b.rows, b.cols,
           number(b.ld), c.rows << 32U | c.cols, number(c.ld), 1, 1, 1, 0}};
}

}  // namespace cuda_on_host

inline cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  auto& device = cuda_on_host::Device::get();
  if (device.enter("cublasLtCreate")) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = static_cast<cublasLtHandle_t>(device.new_handle());
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  cuda_on_host::Device::get().delete_handle(handle);
  return CUBLAS_STATUS_SUCCESS;
}

inline cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  if (cuda_on_host::Device::get().enter("cublasLtMatmulDescCreate")) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  *operation = static_cast<cublasLtMatmulDesc_t>(
      cuda_on_host::create(cuda_on_host::Operation{.compute = compute, .scale = scale}));
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  return cuda_on_host::destroy<cuda_on_host::Operation>(operation);
}
inline cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                                     cublasLtMatmulDescAttributes_t what,
                                                     const void* value, std::size_t bytes) {
  if (cuda_on_host::Device::get().enter("cublasLtMatmulDescSetAttribute")) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  auto& o = cuda_on_host::objects<cuda_on_host::Operation>().at(operation);
  switch (what) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return cuda_on_host::assign(o.op_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return cuda_on_host::assign(o.op_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return cuda_on_host::assign(o.epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return cuda_on_host::assign(o.bias, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

inline cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout,
                                                 cudaDataType_t type, std::uint64_t rows,
                                                 std::uint64_t cols, std::int64_t ld) {
  if (cuda_on_host::Device::get().enter("cublasLtMatrixLayoutCreate")) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  *layout = static_cast<cublasLtMatrixLayout_t>(
      cuda_on_host::create(cuda_on_host::Layout{type, rows, cols, ld}));
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  return cuda_on_host::destroy<cuda_on_host::Layout>(layout);
}

inline cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* wish) {
  if (cuda_on_host::Device::get().enter("cublasLtMatmulPreferenceCreate")) {
    return CUBLAS_STATUS_NOT_INITIALIZED;
  }
  *wish = static_cast<cublasLtMatmulPreference_t>(cuda_on_host::create(cuda_on_host::Preference{}));
  return CUBLAS_STATUS_SUCCESS;
}
inline cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t wish) {
  return cuda_on_host::destroy<cuda_on_host::Preference>(wish);
}
inline cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t wish, cublasLtMatmulPreferenceAttributes_t what, const void* value,
    std::size_t bytes) {
  if (cuda_on_host::Device::get().enter("cublasLtMatmulPreferenceSetAttribute")) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  auto& p = cuda_on_host::objects<cuda_on_host::Preference>().at(wish);
  if (what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    return cuda_on_host::assign(p.workspace, value, bytes);
  }
  if (what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) {
    return cuda_on_host::assign(p.reduction, value, bytes);
  }
  return cuda_on_host::assign(p.alignment[what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value,
                              bytes);
}

/// An algorithm, unless `Device::has_algorithms` says that there is none. It needs the whole
/// workspace and all of the alignment that it was promised.
inline cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
    cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
    cublasLtMatmulPreference_t wish, int requested, cublasLtMatmulHeuristicResult_t results[],
    int* count) {
  using namespace cuda_on_host;
  auto& device = Device::get();
  *count = 0;
  if (device.enter("cublasLtMatmulAlgoGetHeuristic")) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!device.is_handle(handle) || requested < 1) return CUBLAS_STATUS_INVALID_VALUE;
  const Operation& o = objects<Operation>().at(operation);
  const Layout& la = objects<Layout>().at(a);
  const Layout& lb = objects<Layout>().at(b);
  const Layout& lc = objects<Layout>().at(c);
  const Preference& p = objects<Preference>().at(wish);
  const bool as_is_a = o.op_a == CUBLAS_OP_N;
  const bool as_is_b = o.op_b == CUBLAS_OP_N;
  const bool wide = o.compute == CUBLAS_COMPUTE_64F;
  if ((as_is_a ? la.rows : la.cols) != lc.rows || (as_is_b ? lb.cols : lb.rows) != lc.cols ||
      (as_is_a ? la.cols : la.rows) != (as_is_b ? lb.rows : lb.cols) || la.type != lb.type ||
      wide != (la.type == CUDA_R_64F) || o.scale != lc.type || wide != (lc.type == CUDA_R_64F) ||
      c != d) {
    device.violate("cuBLASLt: matrices that do not fit");
  }
  for (const Layout* l : {&la, &lb, &lc}) {
    if (l->ld < static_cast<std::int64_t>(l->rows)) {
      device.violate("cuBLASLt: columns that overlap");
    }
  }
  if ((p.reduction & 1U) != 0) device.violate("cuBLASLt: sums in an order of chance are allowed");
  if (!device.has_algorithms) return CUBLAS_STATUS_NOT_SUPPORTED;
  *count = 1;
  results[0] = {};
  results[0].algo = described(o, la, lb, lc);
  for (std::size_t i = 0; i < 3; ++i) results[0].algo.data[12 + i] = p.alignment[i];
  results[0].algo.data[15] = p.workspace;
  results[0].workspaceSize = p.workspace;
  return CUBLAS_STATUS_SUCCESS;
}

/// d = alpha op(a) op(b) + beta c with the epilogue, column-major, summed in double.
inline cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation,
                                     const void* alpha, const void* a, cublasLtMatrixLayout_t a_,
                                     const void* b, cublasLtMatrixLayout_t b_, const void* beta,
                                     const void* c, cublasLtMatrixLayout_t c_, void* d,
                                     cublasLtMatrixLayout_t d_, const cublasLtMatmulAlgo_t* algo,
                                     void* workspace, std::size_t workspace_bytes, cudaStream_t) {
  using namespace cuda_on_host;
  auto& device = Device::get();
  if (device.enter("cublasLtMatmul")) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!device.is_handle(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  const Operation o = objects<Operation>().at(operation);
  const Layout& la = objects<Layout>().at(a_);
  const Layout& lb = objects<Layout>().at(b_);
  const Layout& lc = objects<Layout>().at(c_);
  const cublasLtMatmulAlgo_t expected = described(o, la, lb, lc);
  if (algo == nullptr || c != d || c_ != d_ ||
      !std::equal(expected.data, expected.data + 12, algo->data)) {
    device.violate("cuBLASLt: a product of another shape than its algorithm was chosen for");
  } else if (algo->data[15] > workspace_bytes) {
    device.violate("cuBLASLt: less workspace than the algorithm was promised");
  } else {
    const void* pointers[] = {a, b, c};
    for (std::size_t i = 0; i < 3; ++i) {
      if (reinterpret_cast<std::uintptr_t>(pointers[i]) % algo->data[12 + i] != 0) {
        device.violate("cuBLASLt: less alignment than the algorithm was promised");
      }
    }
    device.expect_inside(workspace, workspace_bytes, workspace_bytes, 1, "cuBLASLt's workspace");
    const bool sum = o.epilogue == CUBLASLT_EPILOGUE_BGRADB;
    const std::size_t bytes = size_of(lc.type) * (sum ? lc.cols : lc.rows);
    device.expect_inside(o.bias, bytes, bytes, 1, "a product's bias");
    if (o.bias == nullptr) device.violate("cuBLASLt: an epilogue with a bias, and no bias");
  }
  if (!device.violations().empty()) return CUBLAS_STATUS_INVALID_VALUE;
  const bool as_is_a = o.op_a == CUBLAS_OP_N;
  const Product product{.as_is_a = as_is_a,
                        .as_is_b = o.op_b == CUBLAS_OP_N,
                        .m = static_cast<std::int64_t>(lc.rows),
                        .n = static_cast<std::int64_t>(lc.cols),
                        .k = static_cast<std::int64_t>(as_is_a ? la.cols : la.rows),
                        .alpha = element(alpha, o.scale, 0, false),
                        .beta = element(beta, o.scale, 0, false),
                        .a = a,
                        .b = b,
                        .c = d,
                        .factor = la.type,
                        .type = lc.type,
                        .lda = la.ld,
                        .ldb = lb.ld,
                        .ldc = lc.ld,
                        .tf32 = o.compute == CUBLAS_COMPUTE_32F_FAST_TF32,
                        .bias = o.epilogue == CUBLASLT_EPILOGUE_BIAS ? o.bias : nullptr,
                        .sums = o.epilogue == CUBLASLT_EPILOGUE_BGRADB ? o.bias : nullptr};
  product.expect_inside(device);
  if (!device.violations().empty()) return CUBLAS_STATUS_INVALID_VALUE;
  device.queue(product);
  return CUBLAS_STATUS_SUCCESS;
}
