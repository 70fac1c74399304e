/// @file
/// The CUDA runtime and cuBLAS with every call checked and every handle owned.
#pragma once

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <memory>
#include <type_traits>

#include "branchlora/core/error.hpp"

namespace branchlora::cuda {

/// Throws `Error` unless a call of the CUDA runtime succeeded; `what` says what was asked for.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // Otherwise the next call of somebody else would report it once more.
  fail("CUDA: {} failed: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

/// Throws `Error` unless a call of cuBLAS succeeded; `what` says what was asked for.
inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) [[likely]]
    return;
  fail("cuBLAS: {} failed: {}", what, cublasGetStatusString(status));
}

/// How many devices this process can use. Zero where there is no driver.
inline int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

/// Throws `Error` unless there is a device of that number.
inline void expect_device(int device) {
  const int count = device_count();
  expect(count > 0, "CUDA: no device was found; expected an NVIDIA GPU and its driver");
  expect(device >= 0 && device < count, "CUDA: expected a device below {}, found {}", count,
         device);
}

/// The device of a process by its number among those of its machine: one for each. A process that
/// is shown a single device takes that. Throws `Error` where there are too few.
inline int device_of(Index local_rank) {
  const int count = device_count();
  if (count == 1) return 0;
  expect(count == 0 || local_rank < count,
         "CUDA: expected a device for each process of a machine, found {} for {} or more", count,
         local_rank + 1);
  return static_cast<int>(local_rank);
}

/// Calls `Destroy` on the handle that a unique pointer owns.
template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* handle) const noexcept {
    Destroy(handle);
  }
};

/// The owner of a handle of CUDA's C interface.
template <class T, auto Destroy>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, Destroyer<Destroy>>;

using Stream = Handle<cudaStream_t, cudaStreamDestroy>;
using Event = Handle<cudaEvent_t, cudaEventDestroy>;
using GraphSource = Handle<cudaGraph_t, cudaGraphDestroy>;
using GraphProgram = Handle<cudaGraphExec_t, cudaGraphExecDestroy>;
using Blas = Handle<cublasHandle_t, cublasDestroy>;

/// A stream that does not wait for the default one.
inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  return Stream(stream);
}

/// An event that is only waited for.
inline Event make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  return Event(event);
}

/// A cuBLAS handle whose calls go to `stream`.
inline Blas make_blas(cudaStream_t stream) {
  cublasHandle_t created = nullptr;
  check(cublasCreate(&created), "creating a handle");
  Blas handle(created);
  check(cublasSetStream(created, stream), "setting the stream");
  return handle;
}

}  // namespace branchlora::cuda
