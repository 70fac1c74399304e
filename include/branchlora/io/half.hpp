/// @file
/// The two 16-bit floating-point formats of stored weights, as bit patterns: bfloat16 (8 exponent
/// bits) and IEEE half (5 exponent bits). Narrowing rounds to nearest, ties to even; a NaN stays
/// one.
#pragma once

#include <bit>
#include <cstdint>

namespace branchlora::io {

namespace detail {

/// `value / 2^shift`, rounded to nearest, ties to even; 1 <= shift <= 31.
constexpr std::uint32_t shift_to_nearest(std::uint32_t value, std::uint32_t shift) {
  const std::uint32_t below_half = (1U << (shift - 1)) - 1;
  return (value + below_half + ((value >> shift) & 1U)) >> shift;
}

}  // namespace detail

/// The value of a bfloat16; exact.
constexpr float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// The bfloat16 nearest to `x`.
constexpr std::uint16_t float_to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
  return static_cast<std::uint16_t>(detail::shift_to_nearest(bits, 16));
}

/// The value of an IEEE half; exact.
constexpr float f16_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t widened = exponent == 0x1FU ? 0xFFU : exponent + 112U;
  return std::bit_cast<float>(sign | widened << 23 | fraction << 13);
}

/// The IEEE half nearest to `x`; infinite from 65520 on.
constexpr std::uint16_t float_to_f16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  const auto signed_half = [sign](std::uint32_t half) {
    return static_cast<std::uint16_t>(sign | half);
  };
  if (magnitude > 0x7F800000U) return signed_half(0x7E00U | ((magnitude >> 13) & 0x3FFU));
  if (magnitude >= 0x477FF000U) return signed_half(0x7C00U);
  if (magnitude >= 0x38800000U) {  // 2^-14, the smallest normal half
    return signed_half(detail::shift_to_nearest(magnitude - 0x38000000U, 13));
  }
  const std::uint32_t exponent = magnitude >> 23;
  if (exponent < 102U) return signed_half(0);  // below 2^-25, half of the smallest half
  return signed_half(
      detail::shift_to_nearest((magnitude & 0x7FFFFFU) | 0x800000U, 126U - exponent));
}

}  // namespace branchlora::io
