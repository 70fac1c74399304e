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

inline constexpr std::size_t cache_line = 64;
inline constexpr std::size_t large_page = std::size_t{1} << 21;

/// Memory at cache line boundaries, of large pages where it fills one and the system has them: rows
/// of a matrix are often a page each, every page that they touch costs a lookup, and the
/// processor fetches nothing ahead beyond the end of a page.
inline void* allocate_lines(std::size_t bytes) {
  const std::size_t boundary = bytes >= large_page ? large_page : cache_line;
  auto* const all = static_cast<std::byte*>(::operator new(bytes + boundary + cache_line));
  // What comes back lies a line at least behind what was taken, whose address is kept between.
  const auto taken = reinterpret_cast<std::uintptr_t>(all);
  const auto skipped = (taken + cache_line + boundary - 1) / boundary * boundary - taken;
  std::byte* const lines = all + skipped;
  ::new (lines - cache_line) std::byte*(all);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  // Only advice: where it is not taken, the pages stay small.
  if (bytes >= large_page) madvise(lines, bytes / large_page * large_page, MADV_HUGEPAGE);
#endif
  return lines;
}

inline void release_lines(void* lines) noexcept {
  if (lines == nullptr) return;
  ::operator delete(*reinterpret_cast<std::byte**>(static_cast<std::byte*>(lines) - cache_line));
}

}  // namespace branchlora::eigen
