/// @file
/// Stands in for the header of NCCL: the part of it that the CUDA backend uses, run on the host.
/// For tests only. Ranks are threads, each of which has a device of its own. Names and values are
/// those of NVIDIA's documentation.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda_runtime.h"

enum ncclResult_t {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7,
};
enum ncclDataType_t { ncclFloat32 = 7, ncclFloat64 = 8 };
enum ncclRedOp_t { ncclSum = 0 };
struct ncclUniqueId {
  char internal[128];
};
using ncclComm_t = struct ncclComm*;

namespace cuda_on_host {

/// The ranks of one id. Who waits for the others is let go as soon as one of them leaves.
class World {
 public:
  explicit World(int ranks) : parts(static_cast<std::size_t>(ranks)), sizes(parts.size()) {}

  /// Waits for all ranks; false if one has left.
  bool meet() {
    std::unique_lock lock(mutex_);
    if (left_) return false;
    const auto round = round_;
    if (++arrived_ == parts.size()) {
      arrived_ = 0;
      ++round_;
      all_.notify_all();
    }
    all_.wait(lock, [&] { return round_ != round || left_; });
    return round_ != round;
  }
  void leave() {
    const std::scoped_lock lock(mutex_);
    left_ = true;
    all_.notify_all();
  }

  std::vector<const void*> parts;  ///< Of each rank, between two meetings.
  std::vector<std::size_t> sizes;

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  std::size_t arrived_ = 0;
  std::uint64_t round_ = 0;
  bool left_ = false;
};

/// What one rank has of NCCL.
class Nccl {
 public:
  struct Comm {
    std::shared_ptr<World> world;
    std::size_t rank;
    ncclResult_t async = ncclSuccess;
  };
  /// One call of ncclAllReduce.
  struct Sum {
    const void* from;
    void* to;
    std::size_t count;
    ncclDataType_t type;
    cudaStream_t stream;
  };

  static Nccl& get() {
    static thread_local Nccl nccl;
    return nccl;
  }

  std::vector<Sum> sums;                               ///< All calls so far.
  std::map<const void*, std::shared_ptr<Comm>> comms;  ///< By their handles.
  int groups = 0;                                      ///< That were begun and not ended.
  std::vector<std::function<void()>> grouped;          ///< To be queued when they end.

  /// The communicator of a handle, or null, which is a violation.
  std::shared_ptr<Comm> find(const void* handle, const char* name) {
    const auto found = comms.find(handle);
    if (found != comms.end()) return found->second;
    Device::get().violate(std::string(name) + ": used a communicator that does not exist");
    return nullptr;
  }

  ncclResult_t remove(ncclComm_t handle, const char* name) {
    if (find(handle, name) == nullptr) return ncclInvalidArgument;
    comms.erase(handle);
    Device::get().delete_handle(handle);
    return ncclSuccess;
  }
};

/// The world of an id that ncclGetUniqueId made, once somebody said how many ranks it has.
inline std::shared_ptr<World> world_of(const ncclUniqueId& id, int ranks) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<World>> worlds;
  const std::scoped_lock lock(mutex);
  auto& world = worlds[std::string(id.internal, sizeof(id.internal))];
  if (world == nullptr) world = std::make_shared<World>(ranks);
  return world;
}

/// Each element is added up from another rank on, as in a ring.
template <class T>
void add_up(Nccl::Comm& comm, const void* from, void* to, std::size_t count) {
  World& world = *comm.world;
  const std::size_t ranks = world.parts.size();
  world.parts[comm.rank] = from;
  world.sizes[comm.rank] = count * sizeof(T);
  if (!world.meet()) return void(comm.async = ncclRemoteError);
  std::vector<T> sums(count, T(0));
  for (const std::size_t size : world.sizes) {
    if (size == count * sizeof(T)) continue;
    Device::get().violate("a sum of arrays that are not of one size in all ranks");
    return void(comm.async = ncclInvalidUsage);
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t r = 0; r < ranks; ++r) {
      sums[i] += static_cast<const T*>(world.parts[(i + r) % ranks])[i];
    }
  }
  if (!world.meet()) return void(comm.async = ncclRemoteError);
  std::memcpy(to, sums.data(), count * sizeof(T));
}

}  // namespace cuda_on_host

inline const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    default:
      return "another error";
  }
}
inline const char* ncclGetLastError(ncclComm_t) { return "what the stand-in was told to do"; }

inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (cuda_on_host::Device::get().enter("ncclGetUniqueId")) return ncclSystemError;
  static std::atomic<std::uint64_t> made = 0;
  const std::uint64_t number = ++made;
  // Every byte counts, those above 127 too.
  for (std::size_t i = 0; i < sizeof(id->internal); ++i) {
    id->internal[i] = static_cast<char>(number * (2 * i + 1) + i);
  }
  return ncclSuccess;
}

/// Waits for all ranks of the id.
inline ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  auto& device = cuda_on_host::Device::get();
  if (ranks < 1 || rank < 0 || rank >= ranks) return ncclInvalidArgument;
  const auto world = cuda_on_host::world_of(id, ranks);
  if (device.enter("ncclCommInitRank")) {
    world->leave();
    return ncclSystemError;
  }
  if (!world->meet()) return ncclRemoteError;
  void* handle = device.new_handle();
  cuda_on_host::Nccl::get().comms[handle] = std::make_shared<cuda_on_host::Nccl::Comm>(
      cuda_on_host::Nccl::Comm{world, static_cast<std::size_t>(rank)});
  *comm = static_cast<ncclComm_t>(handle);
  return ncclSuccess;
}
/// Waits for what is under way.
inline ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  cuda_on_host::Device::get().run_all();
  return cuda_on_host::Nccl::get().remove(comm, "ncclCommDestroy");
}
inline ncclResult_t ncclCommAbort(ncclComm_t comm) {
  auto& nccl = cuda_on_host::Nccl::get();
  if (const auto found = nccl.find(comm, "ncclCommAbort")) {
    found->async = ncclRemoteError;  // What is queued does nothing.
    found->world->leave();
  }
  return nccl.remove(comm, "ncclCommAbort");
}
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (cuda_on_host::Device::get().enter("ncclCommGetAsyncError")) return ncclInternalError;
  const auto found = cuda_on_host::Nccl::get().find(comm, "ncclCommGetAsyncError");
  if (found == nullptr) return ncclInvalidArgument;
  *error = found->async;
  return ncclSuccess;
}

inline ncclResult_t ncclGroupStart() {
  if (cuda_on_host::Device::get().enter("ncclGroupStart")) return ncclInternalError;
  ++cuda_on_host::Nccl::get().groups;
  return ncclSuccess;
}
/// Queues what was grouped.
inline ncclResult_t ncclGroupEnd() {
  auto& device = cuda_on_host::Device::get();
  auto& nccl = cuda_on_host::Nccl::get();
  if (nccl.groups == 0) device.violate("ncclGroupEnd: no group was begun");
  if (--nccl.groups > 0) return ncclSuccess;
  const auto grouped = std::exchange(nccl.grouped, {});
  if (device.enter("ncclGroupEnd")) return ncclSystemError;
  for (const auto& work : grouped) device.queue(work);
  return ncclSuccess;
}
inline ncclResult_t ncclAllReduce(const void* from, void* to, std::size_t count,
                                  ncclDataType_t type, ncclRedOp_t, ncclComm_t comm,
                                  cudaStream_t stream) {
  auto& device = cuda_on_host::Device::get();
  auto& nccl = cuda_on_host::Nccl::get();
  nccl.sums.push_back({from, to, count, type, stream});
  if (device.enter("ncclAllReduce")) return ncclUnhandledCudaError;
  if (!device.is_handle(stream)) device.violate("ncclAllReduce: a stream that does not exist");
  const std::size_t bytes = count * (type == ncclFloat64 ? sizeof(double) : sizeof(float));
  device.expect_inside(from, bytes, bytes, 1, "what is summed");
  device.expect_inside(to, bytes, bytes, 1, "a sum's target");
  const auto found = nccl.find(comm, "ncclAllReduce");
  if (found == nullptr || !device.violations().empty()) return ncclInvalidArgument;
  auto work = [=] {
    if (found->async != ncclSuccess) return;
    if (type == ncclFloat64) {
      cuda_on_host::add_up<double>(*found, from, to, count);
    } else {
      cuda_on_host::add_up<float>(*found, from, to, count);
    }
  };
  if (nccl.groups > 0) {
    nccl.grouped.emplace_back(work);
  } else {
    device.queue(work);
  }
  return ncclSuccess;
}
