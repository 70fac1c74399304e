/// @file
/// Halves to be read: the library only widens them.
#pragma once

#include <bit>
#include <cstdint>

namespace branchlora::io {

/// `value / 2^shift`, rounded to nearest, ties to even; 1 <= shift <= 31.
constexpr std::uint32_t shift_half_to_nearest(std::uint32_t value, std::uint32_t shift) {
  const std::uint32_t below_half = (1U << (shift - 1)) - 1;
  return (value + below_half + ((value >> shift) & 1U)) >> shift;
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
    return signed_half(shift_half_to_nearest(magnitude - 0x38000000U, 13));
  }
  const std::uint32_t exponent = magnitude >> 23;
  if (exponent < 102U) return signed_half(0);  // below 2^-25, half of the smallest half
  return signed_half(shift_half_to_nearest((magnitude & 0x7FFFFFU) | 0x800000U, 126U - exponent));
}

}  // namespace branchlora::io
