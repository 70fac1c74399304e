/// @file
/// Rounding to the 16-bit storage type with float's exponent, on the device.
#pragma once

#include <bit>
#include <cstdint>

#include "branchlora/core/host_device.hpp"

namespace branchlora::cuda {

/// The bits of a bfloat16, which cuBLAS reads.
enum class Bfloat16 : std::uint16_t {};

/// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
BRANCHLORA_HD inline Bfloat16 round_to_bfloat16(float value) {
  const auto wide = std::bit_cast<std::uint32_t>(value);
  const bool nan = (wide & 0x7FFFFFFFU) > 0x7F800000U;
  const std::uint32_t rounded = wide + 0x7FFFU + ((wide >> 16U) & 1U);
  return static_cast<Bfloat16>(
      static_cast<std::uint16_t>((nan ? wide | 0x400000U : rounded) >> 16U));
}

}  // namespace branchlora::cuda
