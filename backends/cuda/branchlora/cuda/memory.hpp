/// @file
/// Memory of the device in stream order, and the pinned memory through which data gets there.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "branchlora/cuda/runtime.hpp"

namespace branchlora::cuda {

/// A size in words: "12.5 MiB".
inline std::string readable_bytes(std::size_t bytes) {
  constexpr std::size_t mega = std::size_t{1} << 20;
  return bytes < mega ? fmt::format("{} bytes", bytes)
                      : fmt::format("{:.1f} MiB", static_cast<double>(bytes) / mega);
}

/// The device's memory pool, used in the order of one stream. It keeps what was released, so that
/// a program whose steps are alike asks the driver for nothing after the first.
class Pool {
 public:
  Pool(int device, cudaStream_t stream) : stream_(stream) {
    check(cudaDeviceGetDefaultMemPool(&pool_, device), "finding the memory pool");
    std::uint64_t keep_everything = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_everything),
          "setting up the memory pool");
  }

  /// At least `bytes` of uninitialised memory, aligned to 256 bytes. Throws `Error` with what was
  /// asked for and what is free.
  void* allocate(std::size_t bytes) {
    expect_allocating(bytes);
    void* pointer = nullptr;
    const cudaError_t status = cudaMallocAsync(&pointer, std::max<std::size_t>(bytes, 1), stream_);
    if (status == cudaErrorMemoryAllocation) report_shortage(bytes);
    check(status, "allocating memory");
    return pointer;
  }

  /// Gives memory back once everything before it on the stream is done. Null is nothing.
  void release(void* pointer) noexcept {
    if (pointer == nullptr) return;
    ++released_;
    cudaFreeAsync(pointer, stream_);
  }

  /// Throws `Error` while a step is recorded.
  void expect_allocating(std::size_t bytes) const {
    expect(!recording_, "CUDA: a step that is recorded must allocate nothing; it asked for {}",
           readable_bytes(bytes));
  }
  void set_recording(bool on) { recording_ = on; }

  /// How often memory was given back.
  std::uint64_t released() const { return released_; }

  /// The most bytes that were ever in use at the same time in this process.
  std::size_t peak() const {
    std::uint64_t bytes = 0;
    check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemHigh, &bytes),
          "asking for the peak of the memory pool");
    return static_cast<std::size_t>(bytes);
  }

 private:
  [[noreturn]] static void report_shortage(std::size_t bytes) {
    cudaGetLastError();
    std::size_t free = 0;
    std::size_t total = 0;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess) cudaGetLastError();
    fail("CUDA: out of memory: {} were asked for, {} of {} are free", readable_bytes(bytes),
         readable_bytes(free), readable_bytes(total));
  }

  cudaMemPool_t pool_ = nullptr;
  cudaStream_t stream_;
  std::uint64_t released_ = 0;
  bool recording_ = false;
};

/// Memory that grows to the largest request and is then kept: for what lives within one primitive.
class Workspace {
 public:
  explicit Workspace(Pool& pool) : pool_(&pool) {}
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  ~Workspace() { pool_->release(data_); }

  /// Uninitialised memory for `n` elements, until the next call.
  template <class T>
  T* get(std::ptrdiff_t n) {
    const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
    if (bytes > bytes_) {
      pool_->expect_allocating(bytes);
      pool_->release(std::exchange(data_, nullptr));
      bytes_ = 0;
      data_ = pool_->allocate(bytes);
      bytes_ = bytes;
    }
    return static_cast<T*>(data_);
  }

 private:
  Pool* pool_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Copies from the host that return before they are done: through pinned memory in two halves, of
/// which one is filled while the device may still read the other.
class Staging {
 public:
  explicit Staging(cudaStream_t stream, std::size_t half_bytes = std::size_t{4} << 20)
      : stream_(stream), half_bytes_(half_bytes) {
    for (Half& half : halves_) {
      void* memory = nullptr;
      check(cudaHostAlloc(&memory, half_bytes, cudaHostAllocDefault), "allocating pinned memory");
      half.memory.reset(static_cast<std::byte*>(memory));
      half.done = make_event();
    }
  }

  /// Starts over. Everything that was uploaded must be done.
  void clear() { current_ = used_ = 0; }

  /// `from` may change as soon as this returns; `to` is written in stream order.
  void upload(void* to, const void* from, std::size_t bytes) {
    auto* target = static_cast<std::byte*>(to);
    const auto* source = static_cast<const std::byte*>(from);
    while (bytes > 0) {
      if (used_ == half_bytes_) swap_halves();
      const std::size_t count = std::min(bytes, half_bytes_ - used_);
      std::byte* pinned = halves_[current_].memory.get() + used_;
      std::memcpy(pinned, source, count);
      check(cudaMemcpyAsync(target, pinned, count, cudaMemcpyHostToDevice, stream_),
            "copying to the device");
      used_ += count;
      target += count;
      source += count;
      bytes -= count;
    }
  }

 private:
  struct Half {
    Handle<std::byte*, cudaFreeHost> memory;
    Event done;
  };

  void swap_halves() {
    check(cudaEventRecord(halves_[current_].done.get(), stream_), "marking an upload");
    current_ = 1 - current_;
    check(cudaEventSynchronize(halves_[current_].done.get()), "waiting for an upload");
    used_ = 0;
  }

  cudaStream_t stream_;
  std::size_t half_bytes_;
  std::array<Half, 2> halves_;
  std::size_t current_ = 0;
  std::size_t used_ = 0;
};

}  // namespace branchlora::cuda
