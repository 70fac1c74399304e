/// @file
/// Stands in for the header of the CUDA runtime: the part of it that the CUDA backend uses, run on
/// the host. For tests only. Names and values are those of NVIDIA's documentation.
#pragma once

#include <cuda_on_host/device.hpp>

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __shared__ static thread_local

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr explicit dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)
      : x(x_), y(y_), z(z_) {}
};

// The place of the thread that is run at the moment.
inline thread_local dim3 threadIdx{0, 0, 0};
inline thread_local dim3 blockIdx{0, 0, 0};
inline thread_local dim3 blockDim{1, 1, 1};
inline thread_local dim3 gridDim{1, 1, 1};

enum cudaError_t : int {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorGraphExecUpdateFailure = 910,
  cudaErrorUnknown = 999,
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice
};
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold = 4, cudaMemPoolAttrUsedMemHigh = 8 };
enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_64F = 1, CUDA_R_16BF = 14 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;
inline constexpr unsigned cudaHostAllocDefault = 0;

using cudaStream_t = struct CUstream_st*;
using cudaEvent_t = struct CUevent_st*;
using cudaMemPool_t = struct CUmemPoolHandle_st*;
using cudaGraph_t = struct CUgraph_st*;
using cudaGraphExec_t = struct CUgraphExec_st*;

namespace cuda_on_host {

/// Remembers an error for cudaGetLastError.
inline cudaError_t error(cudaError_t status) {
  Device::get().last_error = status;
  return status;
}

/// Records a call and fails it if it is its turn, or if `handle` is none.
inline cudaError_t enter(const char* name, cudaError_t failure = cudaErrorUnknown) {
  return Device::get().enter(name) ? error(failure) : cudaSuccess;
}
inline cudaError_t enter(const char* name, const void* handle,
                         cudaError_t failure = cudaErrorUnknown) {
  if (!Device::get().is_handle(handle)) {
    Device::get().violate(std::string(name) + ": used a handle that does not exist");
    return error(cudaErrorInvalidResourceHandle);
  }
  return enter(name, failure);
}

/// Waiting can not be part of a recorded step.
inline cudaError_t refuse_while_recording() {
  return Device::get().recording() ? error(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

}  // namespace cuda_on_host

inline const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorGraphExecUpdateFailure:
      return "cudaErrorGraphExecUpdateFailure";
    case cudaErrorUnknown:
      return "cudaErrorUnknown";
  }
  return "unrecognised error code";
}
inline const char* cudaGetErrorString(cudaError_t status) { return cudaGetErrorName(status); }
inline cudaError_t cudaGetLastError() {
  return static_cast<cudaError_t>(std::exchange(cuda_on_host::Device::get().last_error, 0));
}

inline cudaError_t cudaGetDeviceCount(int* count) {
  auto& device = cuda_on_host::Device::get();
  if (const auto status = cuda_on_host::enter("cudaGetDeviceCount")) return status;
  if (device.count == 0) return cuda_on_host::error(cudaErrorInsufficientDriver);
  *count = device.count;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int number) {
  if (const auto status = cuda_on_host::enter("cudaSetDevice")) return status;
  return number < cuda_on_host::Device::get().count ? cudaSuccess
                                                    : cuda_on_host::error(cudaErrorInvalidDevice);
}
inline cudaError_t cudaDeviceSynchronize() {
  const auto status = cuda_on_host::enter("cudaDeviceSynchronize");
  if (status == cudaSuccess) cuda_on_host::Device::get().run_all();
  return status;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  if (const auto status = cuda_on_host::enter("cudaStreamCreateWithFlags")) return status;
  *stream = static_cast<cudaStream_t>(cuda_on_host::Device::get().new_handle());
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  cuda_on_host::Device::get().run_all();
  cuda_on_host::Device::get().delete_handle(stream);
  return cudaSuccess;
}
/// Waits, also where it then reports a failure: what was queued is over.
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  auto& device = cuda_on_host::Device::get();
  const auto status = cuda_on_host::enter("cudaStreamSynchronize", stream);
  if (status == cudaErrorInvalidResourceHandle) return status;
  if (const auto refused = cuda_on_host::refuse_while_recording()) return refused;
  device.run_all();
  return status;
}

/// Not ready the first time after something was queued, which then runs.
inline cudaError_t cudaStreamQuery(cudaStream_t stream) {
  auto& device = cuda_on_host::Device::get();
  if (const auto status = cuda_on_host::enter("cudaStreamQuery", stream)) return status;
  if (const auto status = cuda_on_host::refuse_while_recording()) return status;
  if (device.idle()) return cudaSuccess;
  device.run_all();
  return cuda_on_host::error(cudaErrorNotReady);
}

inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (const auto status = cuda_on_host::enter("cudaEventCreateWithFlags")) return status;
  *event = static_cast<cudaEvent_t>(cuda_on_host::Device::get().new_handle());
  return cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t event) {
  cuda_on_host::Device::get().delete_handle(event);
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (const auto status = cuda_on_host::enter("cudaEventRecord", stream)) return status;
  auto& device = cuda_on_host::Device::get();
  device.events[event] = device.queued();
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (const auto status = cuda_on_host::enter("cudaEventSynchronize", event)) return status;
  if (const auto status = cuda_on_host::refuse_while_recording()) return status;
  auto& device = cuda_on_host::Device::get();
  if (const auto found = device.events.find(event); found != device.events.end()) {
    device.run_until(found->second);
  }
  return cudaSuccess;
}

inline cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const auto status = cuda_on_host::enter("cudaStreamBeginCapture", stream);
  if (status == cudaSuccess) cuda_on_host::Device::get().record();
  return status;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  auto& device = cuda_on_host::Device::get();
  *graph = static_cast<cudaGraph_t>(device.end_recording());
  const auto status = cuda_on_host::enter("cudaStreamEndCapture", stream);
  if (status != cudaSuccess) device.delete_handle(std::exchange(*graph, nullptr));
  return status;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* program, cudaGraph_t graph,
                                        unsigned long long) {
  if (const auto status = cuda_on_host::enter("cudaGraphInstantiate", graph)) return status;
  *program = static_cast<cudaGraphExec_t>(cuda_on_host::Device::get().copy_of_graph(graph));
  return cudaSuccess;
}
struct cudaGraphExecUpdateResultInfo {
  int result;
};
/// Refuses where another number of things is to be done.
inline cudaError_t cudaGraphExecUpdate(cudaGraphExec_t program, cudaGraph_t graph,
                                       cudaGraphExecUpdateResultInfo*) {
  if (const auto status = cuda_on_host::enter("cudaGraphExecUpdate", graph)) return status;
  return cuda_on_host::Device::get().update_graph(program, graph)
             ? cudaSuccess
             : cuda_on_host::error(cudaErrorGraphExecUpdateFailure);
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t program, cudaStream_t stream) {
  if (const auto status = cuda_on_host::enter("cudaGraphLaunch", stream)) return status;
  cuda_on_host::Device::get().queue_graph(program);
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  cuda_on_host::Device::get().delete_handle(graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t program) {
  cuda_on_host::Device::get().run_all();
  cuda_on_host::Device::get().delete_handle(program);
  return cudaSuccess;
}

inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cuda_on_host::enter("cudaDeviceGetDefaultMemPool");
}
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cuda_on_host::enter("cudaMemPoolSetAttribute");
}
inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
  if (const auto status = cuda_on_host::enter("cudaMemPoolGetAttribute")) return status;
  const std::uint64_t peak = cuda_on_host::Device::get().peak();
  std::memcpy(value, &peak, sizeof(peak));
  return cudaSuccess;
}
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (const auto status = cuda_on_host::enter("cudaMemGetInfo")) return status;
  const auto& device = cuda_on_host::Device::get();
  *total = device.capacity;
  *free = device.capacity - device.bytes_in_use();
  return cudaSuccess;
}
inline cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  if (const auto status =
          cuda_on_host::enter("cudaMallocAsync", stream, cudaErrorMemoryAllocation)) {
    return status;
  }
  *pointer = cuda_on_host::Device::get().allocate(bytes);
  return *pointer != nullptr ? cudaSuccess : cuda_on_host::error(cudaErrorMemoryAllocation);
}
inline cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  auto& device = cuda_on_host::Device::get();
  if (!device.is_handle(stream)) device.violate("cudaFreeAsync: used a stream that does not exist");
  if (device.recording()) device.violate("cudaFreeAsync: in a step that is recorded");
  return device.release(pointer) ? cudaSuccess : cuda_on_host::error(cudaErrorInvalidValue);
}
inline cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  if (const auto status = cuda_on_host::enter("cudaHostAlloc", cudaErrorMemoryAllocation)) {
    return status;
  }
  *pointer = std::malloc(bytes);
  cuda_on_host::Device::get().pinned[*pointer] = bytes;
  return cudaSuccess;
}
inline cudaError_t cudaFreeHost(void* pointer) {
  if (cuda_on_host::Device::get().pinned.erase(pointer) == 0) {
    cuda_on_host::Device::get().violate("cudaFreeHost: no such pinned memory");
    return cudaErrorInvalidValue;
  }
  std::free(pointer);
  return cudaSuccess;
}

inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                                     std::size_t from_pitch, std::size_t width, std::size_t rows,
                                     cudaMemcpyKind kind, cudaStream_t stream) {
  if (const auto status = cuda_on_host::enter("cudaMemcpy2DAsync", stream)) return status;
  auto& device = cuda_on_host::Device::get();
  if (to_pitch < width || from_pitch < width) return cuda_on_host::error(cudaErrorInvalidValue);
  if (kind == cudaMemcpyHostToDevice ? device.on_device(from)
                                     : (kind == cudaMemcpyDeviceToHost && device.on_device(to))) {
    device.violate("a copy with a device pointer in place of the host's");
  }
  if (kind != cudaMemcpyHostToDevice) {
    device.expect_inside(from, from_pitch, width, rows, "the source of a copy");
  }
  if (kind != cudaMemcpyDeviceToHost) {
    device.expect_inside(to, to_pitch, width, rows, "the target of a copy");
  }
  if (!device.violations().empty()) return cuda_on_host::error(cudaErrorInvalidValue);
  device.queue([=] {
    for (std::size_t i = 0; i < rows; ++i) {
      std::memmove(static_cast<std::byte*>(to) + i * to_pitch,
                   static_cast<const std::byte*>(from) + i * from_pitch, width);
    }
  });
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes,
                                   cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
inline cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width,
                                     std::size_t rows, cudaStream_t stream) {
  if (const auto status = cuda_on_host::enter("cudaMemset2DAsync", stream)) return status;
  auto& device = cuda_on_host::Device::get();
  if (pitch < width) return cuda_on_host::error(cudaErrorInvalidValue);
  device.expect_inside(to, pitch, width, rows, "filled memory");
  if (!device.violations().empty()) return cuda_on_host::error(cudaErrorInvalidValue);
  device.queue([=] {
    for (std::size_t i = 0; i < rows; ++i) {
      std::memset(static_cast<std::byte*>(to) + i * pitch, value, width);
    }
  });
  return cudaSuccess;
}

namespace cuda_on_host {

/// A kernel with copies of its arguments. What does not depend on their types is not a template:
/// there are hundreds of kernels.
struct Launch {
  /// Calls a kernel, whose type it knows, with the arguments at these places.
  using Call = void (*)(void (*kernel)(), const void* const* arguments);

  Call call;
  void (*kernel)();
  dim3 grid, block;
  std::vector<std::vector<std::byte>> arguments;

  /// A thread of the grid after the other.
  void operator()() const {
    std::vector<const void*> places;
    for (const auto& each : arguments) places.push_back(each.data());
    gridDim = grid;
    blockDim = block;
    for (unsigned b = 0; b < grid.x; ++b) {
      blockIdx = dim3{Device::get().reversed ? grid.x - 1 - b : b, 0, 0};
      for (unsigned t = 0; t < block.x; ++t) {
        threadIdx = dim3{t, 0, 0};
        call(kernel, places.data());
      }
    }
  }
};

/// Queues a launch with copies of arguments of these sizes.
inline cudaError_t queue(Launch launch, void** arguments, std::initializer_list<std::size_t> sizes,
                         cudaStream_t stream) {
  if (const auto status = enter("cudaLaunchKernel", stream, cudaErrorLaunchFailure)) return status;
  if (launch.grid.x == 0 || launch.block.x == 0 || launch.block.x > 1024) {
    return error(cudaErrorInvalidConfiguration);
  }
  for (const std::size_t size : sizes) {
    const auto* from = static_cast<const std::byte*>(*arguments++);
    launch.arguments.emplace_back(from, from + size);
  }
  Device::get().queue(std::move(launch));
  return cudaSuccess;
}

}  // namespace cuda_on_host

/// Queues the kernel with copies of its arguments.
template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 block, void** arguments,
                             std::size_t, cudaStream_t stream) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...),
                "a device is given the bytes of a kernel's arguments");
  const auto call = [](void (*typeless)(), const void* const* places) {
    const auto typed = reinterpret_cast<void (*)(Parameters...)>(typeless);
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      typed(*static_cast<const Parameters*>(places[I])...);
    }
    (std::index_sequence_for<Parameters...>{});
  };
  return cuda_on_host::queue({call, reinterpret_cast<void (*)()>(kernel), grid, block, {}},
                             arguments, {sizeof(Parameters)...}, stream);
}
