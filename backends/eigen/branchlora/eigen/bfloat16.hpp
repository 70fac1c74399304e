/// @file
/// The 16-bit storage type with float's exponent, on the host.
#pragma once

#include <bit>
#include <cstdint>

#include "branchlora/core/matrix.hpp"

namespace branchlora::eigen {

/// The upper half of a float: 8 bits of exponent, 8 of significand. A storage type without
/// arithmetic.
struct bfloat16 {  // NOLINT(readability-identifier-naming)
  std::uint16_t bits = 0;

  constexpr bfloat16() = default;

  /// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
  constexpr explicit bfloat16(float value) {
    const auto wide = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = (wide + 0x7FFFU + ((wide >> 16U) & 1U)) >> 16U;
    const std::uint32_t quiet = (wide >> 16U) | 0x40U;
    const bool nan = (wide & 0x7FFFFFFFU) > 0x7F800000U;
    bits = static_cast<std::uint16_t>(nan ? quiet : rounded);
  }

  /// Exact.
  constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
  }

  friend constexpr bool operator==(bfloat16, bfloat16) = default;
};

static_assert(sizeof(bfloat16) == 2, "bfloat16 must be two bytes, as files and devices hold it");

/// Rounds `count` floats.
inline void convert(const float* from, bfloat16* to, Index count) {
  for (Index i = 0; i < count; ++i) to[i] = bfloat16(from[i]);
}

/// Widens `count` elements, exactly.
inline void convert(const bfloat16* from, float* to, Index count) {
  for (Index i = 0; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

}  // namespace branchlora::eigen
