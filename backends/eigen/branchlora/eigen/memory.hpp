/// @file
/// Where the CPU backend's matrices lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace branchlora::eigen {

inline constexpr std::align_val_t cache_line{64};

/// Memory at cache line boundaries, of large pages where it is large and the system has them: rows
/// of a matrix are often a page each, and every page that they touch costs a lookup.
inline void* allocate_lines(std::size_t bytes) {
  void* const memory = ::operator new(bytes, cache_line);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = 4096;
  constexpr std::size_t large = std::size_t{1} << 21;
  if (bytes >= 2 * large) {
    const auto first = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
    const auto last = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
    // Only advice: where it is not taken, the pages stay small.
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  }
#endif
  return memory;
}

inline void release_lines(void* memory) noexcept { ::operator delete(memory, cache_line); }

}  // namespace branchlora::eigen
