#include "branchlora/io/half.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "to_half.hpp"

using namespace branchlora::io;

namespace {

/// The value of a 16-bit float by its definition, in double.
double value_of(std::uint16_t bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits >> 15 != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - fraction_bits);
  return sign * std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

/// Walks through all values of a format: each must widen to its definition and narrow back to
/// itself, and the float between it and the next must go to the even one of the two.
void check_format(auto to_float, auto from_float, int exponent_bits, int fraction_bits) {
  const auto infinity = static_cast<std::uint16_t>(((1U << exponent_bits) - 1U) << fraction_bits);
  for (std::uint32_t i = 0; i < 0x10000U; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    CAPTURE(bits);
    const float widened = to_float(bits);
    if ((bits & 0x7FFFU) > infinity) {
      REQUIRE(std::isnan(widened));
      REQUIRE(std::isnan(to_float(from_float(widened))));
      continue;
    }
    REQUIRE(static_cast<double>(widened) == value_of(bits, exponent_bits, fraction_bits));
    REQUIRE(from_float(widened) == bits);
    REQUIRE(std::signbit(widened) == (bits >> 15 != 0));
    if ((bits & 0x7FFFU) + 1U >= infinity) continue;
    const auto next = static_cast<std::uint16_t>(bits + 1U);
    const double middle = (value_of(bits, exponent_bits, fraction_bits) +
                           value_of(next, exponent_bits, fraction_bits)) /
                          2.0;
    const auto tie = static_cast<float>(middle);
    REQUIRE(static_cast<double>(tie) == middle);
    REQUIRE(from_float(tie) == (bits % 2 == 0 ? bits : next));
    REQUIRE(from_float(std::nextafter(tie, widened)) == bits);
    REQUIRE(from_float(std::nextafter(tie, to_float(next))) == next);
  }
}

}  // namespace

TEST_CASE("IEEE half") {
  check_format(f16_to_float, float_to_f16, 5, 10);
  CHECK(float_to_f16(65504.0F) == 0x7BFF);  // the largest
  CHECK(float_to_f16(65519.996F) == 0x7BFF);
  CHECK(float_to_f16(65520.0F) == 0x7C00);
  CHECK(float_to_f16(-1e30F) == 0xFC00);
  CHECK(float_to_f16(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(float_to_f16(1.0F) == 0x3C00);
}

TEST_CASE("bfloat16") {
  check_format(bf16_to_float, float_to_bf16, 8, 7);
  CHECK(float_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(float_to_bf16(1.0F) == 0x3F80);
  CHECK(float_to_bf16(-2.5F) == 0xC020);
}

TEST_CASE("a NaN whose payload is in the low bits alone stays a NaN") {
  const float nan = std::bit_cast<float>(0x7F800001U);
  CHECK(std::isnan(f16_to_float(float_to_f16(nan))));
  CHECK(std::isnan(bf16_to_float(float_to_bf16(nan))));
}
