/// @file
/// Memory that is handed out in order and taken back as a whole.
#pragma once

#include <algorithm>
#include <cstddef>
#include <new>
#include <vector>

namespace branchlora {

/// A bump allocator over `Memory` (anything with `allocate(bytes)` and `release(pointer)`). After
/// `reset` its chunks are merged into one, so that from the second step of equal size on nothing
/// is allocated.
template <class Memory>
class Arena {
 public:
  explicit Arena(Memory& memory, std::size_t first_chunk = std::size_t{1} << 20)
      : memory_(&memory), next_chunk_(first_chunk) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { release_all(); }

  /// `bytes` of uninitialised memory, aligned to 64 bytes, valid until `reset`.
  void* allocate(std::size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    if (chunks_.empty() || used_ + bytes > chunks_.back().bytes) grow(bytes);
    void* result = chunks_.back().data + used_;
    used_ += bytes;
    total_ += bytes;
    peak_ = std::max(peak_, total_);
    return result;
  }

  /// Takes back everything. Pointers from before are dead.
  void reset() {
    if (chunks_.size() > 1) {
      release_all();
      grow(peak_ + peak_ / 8);
    }
    used_ = total_ = 0;
  }

  /// The most bytes ever in use between two resets.
  std::size_t peak() const { return peak_; }

 private:
  struct Chunk {
    std::byte* data;
    std::size_t bytes;
  };

  void grow(std::size_t bytes) {
    const std::size_t size = std::max(bytes, next_chunk_);
    chunks_.push_back({static_cast<std::byte*>(memory_->allocate(size)), size});
    next_chunk_ = size * 2;
    used_ = 0;
  }

  void release_all() {
    for (const Chunk& chunk : chunks_) memory_->release(chunk.data);
    chunks_.clear();
  }

  Memory* memory_;
  std::vector<Chunk> chunks_;
  std::size_t next_chunk_;
  std::size_t used_ = 0;
  std::size_t total_ = 0;
  std::size_t peak_ = 0;
};

/// Plain host memory for an `Arena`.
struct HostMemory {
  static void* allocate(std::size_t bytes) { return ::operator new (bytes, std::align_val_t{64}); }
  static void release(void* pointer) { ::operator delete (pointer, std::align_val_t{64}); }
};

}  // namespace branchlora
