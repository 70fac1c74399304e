/// @file
/// The communicator of processes with a GPU each. For who has NCCL and links it: no other header of
/// the library includes this one.
#pragma once

#include <nccl.h>

#include <algorithm>
#include <concepts>
#include <exception>
#include <iterator>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "branchlora/cuda/backend.hpp"
#include "branchlora/parallel/communicator.hpp"

namespace branchlora::parallel {

/// Throws `Error` unless a call of NCCL succeeded; `what` says what was asked for.
inline void check(ncclResult_t status, const char* what) {
  if (status == ncclSuccess) [[likely]]
    return;
  fail("NCCL: {} failed: {} ({})", what, ncclGetErrorString(status), ncclGetLastError(nullptr));
}

/// The ranks of `Host` with a device each, a model of `DeviceCommunicator`: what lies in
/// device memory goes from device to device through NCCL, what lies in host memory through `Host`.
template <Communicator Host>
class Nccl {
 public:
  /// Connects this rank's `device` with those of the others, which do the same now. `host` must
  /// outlive it.
  Nccl(const Host& host, int device) : host_(&host) {
    cuda::check(cudaSetDevice(device), "choosing the device");
    check(ncclCommInitRank(&comm_, static_cast<int>(host.size()), common_id(host),
                           static_cast<int>(host.rank())),
          "connecting the devices of all processes");
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;
  /// Waits for nobody if it ends by an error: the other processes may have ended.
  ~Nccl() {
    if (std::uncaught_exceptions() > exceptions_) {
      abort();
    } else if (comm_ != nullptr) {
      ncclCommDestroy(comm_);
    }
  }

  Index rank() const { return host_->rank(); }
  Index size() const { return host_->size(); }
  template <std::floating_point T>
  void sum(std::span<T> values) const {
    host_->sum(values);
  }
  template <std::floating_point T>
  void broadcast(std::span<T> values) const {
    host_->broadcast(values);
  }

  /// Adds up arrays of device memory over the ranks, each in its place, as one operation on the
  /// backend's stream. Polls NCCL's errors while it waits: where a rank has ended, the operation
  /// would never end. After an error the ranks are no longer connected.
  template <std::floating_point T>
  void sum(cuda::Backend<T>& backend, std::span<const std::span<T>> arrays) const {
    expect(comm_ != nullptr, "NCCL: the processes are not connected any more after an error");
    try {
      queue(arrays, backend.stream());
      wait(backend.stream());
    } catch (...) {
      abort();  // What is queued would wait for the others.
      throw;
    }
  }

 private:
  /// An id that the first rank makes. Ranks send each other numbers, so each byte goes as one.
  static ncclUniqueId common_id(const Host& host) {
    ncclUniqueId id{};
    if (host.rank() == 0) check(ncclGetUniqueId(&id), "making an id");
    std::vector<float> bytes(std::begin(id.internal), std::end(id.internal));
    host.broadcast(std::span(bytes));
    std::ranges::transform(bytes, id.internal, [](float byte) { return static_cast<char>(byte); });
    return id;
  }

  template <class T>
  void queue(std::span<const std::span<T>> arrays, cudaStream_t stream) const {
    check(ncclGroupStart(), "beginning a sum over all processes");
    ncclResult_t status = ncclSuccess;
    for (const std::span<T> array : arrays) {
      if (status != ncclSuccess) break;
      status = ncclAllReduce(array.data(), array.data(), array.size(), type<T>(), ncclSum, comm_,
                             stream);
    }
    const ncclResult_t ended = ncclGroupEnd();  // What was begun must be ended.
    check(status, "a sum over all processes");
    check(ended, "a sum over all processes");
  }

  void wait(cudaStream_t stream) const {
    for (;; std::this_thread::yield()) {
      const cudaError_t status = cudaStreamQuery(stream);
      ncclResult_t found = ncclSuccess;
      check(ncclCommGetAsyncError(comm_, &found), "asking for errors");
      check(found, "a sum over all processes");
      if (status != cudaErrorNotReady)
        return cuda::check(status, "waiting for a sum over all processes");
      cudaGetLastError();  // It is none.
    }
  }

  /// Ends what is under way, and the connection.
  void abort() const noexcept {
    if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
  }

  template <class T>
  static constexpr ncclDataType_t type() {
    static_assert(std::same_as<T, float> || std::same_as<T, double>,
                  "Nccl communicates numbers of type float and double");
    return std::same_as<T, float> ? ncclFloat32 : ncclFloat64;
  }

  const Host* host_;
  mutable ncclComm_t comm_ = nullptr;
  int exceptions_ = std::uncaught_exceptions();
};

static_assert(DeviceCommunicator<Nccl<SingleProcess>, cuda::Backend<float>>);
static_assert(DeviceCommunicator<Nccl<SingleProcess>, cuda::Backend<double>>);

}  // namespace branchlora::parallel
