/// @file
/// Vector registers of the widest kind that the target has, through the compilers' vector
/// extensions, for kernels that are written once for all targets.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include <cstring>
#include <type_traits>

#include "branchlora/core/matrix.hpp"

namespace branchlora::eigen::simd {

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

template <class T>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(T));

template <class T>
struct SimdOf {
  typedef T type __attribute__((vector_size(vector_bytes)));  // NOLINT(modernize-use-using)
};

/// A register of `lanes<T>` elements.
template <class T>
using Simd = typename SimdOf<T>::type;

/// 32 vector registers rather than 16.
inline constexpr bool many_registers = vector_bytes == 64;

template <class T>
[[gnu::always_inline]] inline Simd<T> load(const T* p) {
  Simd<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

/// The first `count` elements at `p`, and zeros.
template <class T>
[[gnu::always_inline]] inline Simd<T> load(const T* p, Index count) {
#if defined(__AVX512F__)
  const unsigned bits = (1U << count) - 1U;
  if constexpr (std::is_same_v<T, float>)
    return _mm512_maskz_loadu_ps(static_cast<__mmask16>(bits), p);
  if constexpr (std::is_same_v<T, double>)
    return _mm512_maskz_loadu_pd(static_cast<__mmask8>(bits), p);
#endif
  Simd<T> v{};
  for (Index i = 0; i < count; ++i) v[i] = p[i];
  return v;
}

template <class T>
[[gnu::always_inline]] inline void store(T* p, Simd<T> v) {
  std::memcpy(p, &v, sizeof v);
}

/// Stores the first `count` elements of `v`.
template <class T>
[[gnu::always_inline]] inline void store(T* p, Simd<T> v, Index count) {
#if defined(__AVX512F__)
  const unsigned bits = (1U << count) - 1U;
  if constexpr (std::is_same_v<T, float>)
    return _mm512_mask_storeu_ps(p, static_cast<__mmask16>(bits), v);
  if constexpr (std::is_same_v<T, double>)
    return _mm512_mask_storeu_pd(p, static_cast<__mmask8>(bits), v);
#endif
  for (Index i = 0; i < count; ++i) p[i] = v[i];
}

/// Holds `v` in a register: GCC would read a loaded value from memory again at each of its uses.
template <class V>
[[gnu::always_inline]] inline void hold([[maybe_unused]] V& v) {
#if defined(__x86_64__) && !defined(__clang__)
  asm("" : "+v"(v));
#endif
}

/// Calls `call(std::integral_constant<int, n>)` for a runtime `n` in `1 .. Max`, and with `Max` for
/// anything larger.
template <int Max, class Call>
void with_constant(Index n, Call&& call) {
  if constexpr (Max > 1) {
    if (n < Max) return with_constant<Max - 1>(n, call);
  }
  call(std::integral_constant<int, Max>{});
}

}  // namespace branchlora::eigen::simd
