/// @file
/// Scalar functions of the per-element and per-token bodies: callable on host and device, and free
/// of branches and library calls in float, so that compilers vectorise the loops around them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "branchlora/core/host_device.hpp"

namespace branchlora::math {

/// e^x. The float form reduces x to n ln 2 + f with |f| <= ln(2) / 2 and evaluates a polynomial of
/// degree 6 in f: relative error below 3e-7 for x in [-87, 88], clamped outside.
BRANCHLORA_HD inline float exp(float x) {
#if defined(__CUDA_ARCH__)
  return ::expf(x);
#else
  x = x < -87.0F ? -87.0F : x;
  x = x > 88.0F ? 88.0F : x;
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  constexpr float magic = 12582912.0F;
  const float shifted = x * 1.44269504F + magic;
  const float n = shifted - magic;
  const float f = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.3888889e-3F;
  p = p * f + 8.3333333e-3F;
  p = p * f + 4.1666667e-2F;
  p = p * f + 1.6666667e-1F;
  p = p * f + 0.5F;
  p = p * f + 1.0F;
  p = p * f + 1.0F;
  const auto bits = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(magic);
  return p * std::bit_cast<float>((bits + 127) << 23);
#endif
}

/// e^x in double, from the standard library.
BRANCHLORA_HD inline double exp(double x) { return ::exp(x); }

/// 1 / (1 + e^-x).
template <class T>
BRANCHLORA_HD T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

/// The error function. The float form is Abramowitz and Stegun's 7.1.26, absolute error below
/// 5e-7 ("Handbook of Mathematical Functions", 1964).
BRANCHLORA_HD inline float erf(float x) {
#if defined(__CUDA_ARCH__)
  return ::erff(x);
#else
  const float a = x < 0 ? -x : x;
  const float t = 1.0F / (1.0F + 0.3275911F * a);
  float p = 1.061405429F;
  p = p * t - 1.453152027F;
  p = p * t + 1.421413741F;
  p = p * t - 0.284496736F;
  p = p * t + 0.254829592F;
  const float y = 1.0F - p * t * exp(-a * a);
  return x < 0 ? -y : y;
#endif
}

/// The error function in double, from the standard library.
BRANCHLORA_HD inline double erf(double x) { return ::erf(x); }

/// The lowest finite value, which stands for minus infinity where NaN must not arise.
template <class T>
BRANCHLORA_HD constexpr T lowest() {
  return std::numeric_limits<T>::lowest();
}

/// Infinity.
template <class T>
BRANCHLORA_HD constexpr T infinity() {
  return std::numeric_limits<T>::infinity();
}

}  // namespace branchlora::math
