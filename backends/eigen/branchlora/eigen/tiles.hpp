/// @file
/// The matrix unit of some x86 processors (AMX): eight registers that are matrices.
#pragma once

#include <cstdint>

#include "branchlora/core/matrix.hpp"

#if defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__linux__)
#define BRANCHLORA_TILES
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace branchlora::eigen::tiles {

/// Rows of a tile, and its columns of float or of pairs of bfloat16.
inline constexpr int size = 16;

#if defined(BRANCHLORA_TILES)

/// Whether the target has tiles.
inline constexpr bool exist = true;

/// Whether this process may use tiles: Linux is asked for their memory once
/// (its documentation of x86, "Using XSTATE features in user space applications").
inline bool allowed() {
  constexpr long request_permission = 0x1023;
  constexpr long tile_data = 18;
  static const bool yes = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return yes;
}

/// As long as it lives, this thread has eight whole tiles. They must be allowed.
class Tiles {
 public:
  Tiles() {
    struct alignas(64) {
      std::uint8_t palette = 1;
      std::uint8_t start = 0;
      std::uint8_t reserved[14] = {};
      std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {size, size, size, size, size, size, size, size};
    } const whole;
    asm volatile("ldtilecfg %0" : : "m"(whole));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

// The intrinsics of GCC 12 do not say that they read and write memory.

template <int To>
[[gnu::always_inline]] inline void clear() {
  asm volatile("tilezero %%tmm%c0" : : "i"(To));
}

/// Reads rows `stride` bytes apart.
template <int To>
[[gnu::always_inline]] inline void load(const void* from, Index stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(To) : "memory");
}

/// Writes rows `stride` bytes apart.
template <int From>
[[gnu::always_inline]] inline void store(void* to, Index stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(From) : "memory");
}

/// `Sum += A B`, of float; A holds rows of 32 bfloat16, B 32 rows in pairs.
template <int Sum, int A, int B>
[[gnu::always_inline]] inline void multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(A), "i"(B));
}

#else

inline constexpr bool exist = false;

#endif

}  // namespace branchlora::eigen::tiles
