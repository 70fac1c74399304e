/// @file
/// The register block of the products with a packed matrix.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "branchlora/core/matrix.hpp"
#include "branchlora/eigen/packed_matrix.hpp"
#include "branchlora/eigen/simd.hpp"

namespace branchlora::eigen::gemm {

using namespace simd;

/// Elements of a cache line.
template <class T>
inline constexpr Index line = static_cast<Index>(cache_line / sizeof(T));
/// Cache lines of a row of the register block.
template <Storage S>
inline constexpr int panel_lines = static_cast<int>((panel<S> + line<float> - 1) / line<float>);
/// Elements between the rows of a block of x; the padding spreads rows over the cache.
template <Storage S>
inline constexpr Index row_step = depth<S> + line<S>;

/// A register of bfloat16 pairs.
using Bits = Simd<std::uint32_t>;

/// The step of a bfloat16 kernel: `sum + a_even * b_even + a_odd * b_odd` in every lane, where a
/// and b hold pairs.
[[gnu::always_inline]] inline Simd<float> multiply_pairs(Bits a, Bits b, Simd<float> sum) {
#if defined(__AVX512BF16__)
  // The intrinsic's operand type differs between compilers, and clang 16 fails to compile casts
  // to it.
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#else
  sum += std::bit_cast<Simd<float>>(a << 16U) * std::bit_cast<Simd<float>>(b << 16U);
  sum += std::bit_cast<Simd<float>>(a & 0xFFFF0000U) * std::bit_cast<Simd<float>>(b & 0xFFFF0000U);
#endif
  return sum;
}

/// Brings `Lines` cache lines of each of `rows` rows from `p` on into the first-level cache, to be
/// read or written.
template <int Lines, bool Write = false, class T>
void fetch(const T* p, Index stride, Index rows) {
  for (Index t = 0; t < rows; ++t, p += stride)
    for (int l = 0; l < Lines; ++l) __builtin_prefetch(p + l * line<T>, Write);
}

/// What comes after the blocks of x and P that the kernel works on. It fetches them, part by part,
/// into the second-level cache: the processor foresees neither, as each block is read many times
/// before the next.
template <Storage S>
struct Ahead {
  const S* x;
  const S* p;

  /// A line of each.
  [[gnu::always_inline]] void fetch() {
    __builtin_prefetch(x, 0, 2);
    __builtin_prefetch(p, 0, 2);
    x += line<S>;
    p += line<S>;
  }
};

/// `Tokens x panel` elements of the result, over `steps` steps of one block's depth; the rest as
/// `VectorKernel` has it. With every fourth step a line of each of what lies ahead is fetched.
template <Storage S, int Tokens>
[[gnu::noinline]] void vector_kernel(const S* a, const S* b, Index steps, float* y, Index stride,
                                     Index count, bool add, Ahead<S> ahead) {
  using T = float;
  constexpr int n = lanes<T>;
  Simd<T> sum[Tokens][2] = {};
  fetch<panel_lines<S>>(y, stride, Tokens);
  const auto step = [&] {
    std::conditional_t<std::same_as<S, bfloat16>, Bits, Simd<T>> left;
    decltype(left) right;
    std::memcpy(&left, b, sizeof left);
    std::memcpy(&right, b + pair<S> * n, sizeof right);
    hold(left);
    hold(right);
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
      const S* from = a + t * row_step<S>;
      if constexpr (std::same_as<S, bfloat16>) {
        std::uint32_t both;
        std::memcpy(&both, from, sizeof both);
        Bits x = both + Bits{};
        hold(x);
        sum[t][0] = multiply_pairs(x, left, sum[t][0]);
        sum[t][1] = multiply_pairs(x, right, sum[t][1]);
      } else {
        Simd<T> x = *from - Simd<T>{};
        hold(x);
        sum[t][0] += x * left;
        sum[t][1] += x * right;
      }
    }
    a += pair<S>;
    b += pair<S> * panel<S>;
  };
  for (; steps >= 4; steps -= 4) {
    ahead.fetch();
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) step();
  }
  for (; steps > 0; --steps) step();
  if (count == panel<S>) {
#pragma GCC unroll 16
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        T* to = y + t * stride + v * n;
        store(to, add ? load(to) + sum[t][v] : sum[t][v]);
      }
    }
    return;
  }
  const Index counts[2] = {std::min<Index>(count, n), std::max<Index>(count - n, 0)};
#pragma GCC unroll 16
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      T* to = y + t * stride + v * n;
      const Index c = counts[v];
      if (c == n) store(to, add ? load(to) + sum[t][v] : sum[t][v]);
      if (c > 0 && c < n) store(to, add ? load(to, c) + sum[t][v] : sum[t][v], c);
    }
  }
}

/// The register block in vector registers.
template <Storage S>
struct VectorKernel {
  /// Tokens of the register block, which is as wide as a panel.
  static constexpr int tokens = many_registers ? 14 : 6;
  /// Tokens of a block of x, of which one depth stays in the second-level cache.
  static constexpr Index block = 112;

  /// What a thread holds while it calls `run`.
  struct Registers {};

  /// `rows x count` elements of the result, at most `tokens x panel`, from `depth` rows of a packed
  /// matrix, zeros of the granule included: `y = a b`, or `y += a b` under `add`. `a` holds rows
  /// `row_step` apart, `b` a panel. Fetches what lies ahead.
  static void run(const S* a, const S* b, Index depth, float* y, Index stride, Index rows,
                  Index count, bool add, Ahead<S> ahead) {
    with_constant<tokens>(rows, [&](auto tokens_here) {
      vector_kernel<S, tokens_here>(a, b, depth / pair<S>, y, stride, count, add, ahead);
    });
  }
};

}  // namespace branchlora::eigen::gemm
