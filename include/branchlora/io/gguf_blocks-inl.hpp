/// @file
/// How the elements of GGUF's types are read.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/gguf_blocks.hpp"
#include "branchlora/io/half.hpp"

namespace branchlora::io {

namespace detail {

inline constexpr std::array<GgufBlock, 8> gguf_blocks{{
    {GgufType::F32, "F32", 1, 4},
    {GgufType::F16, "F16", 1, 2},
    {GgufType::BF16, "BF16", 1, 2},
    {GgufType::Q4_0, "Q4_0", 32, 18},
    {GgufType::Q4_1, "Q4_1", 32, 20},
    {GgufType::Q5_0, "Q5_0", 32, 22},
    {GgufType::Q5_1, "Q5_1", 32, 24},
    {GgufType::Q8_0, "Q8_0", 32, 34},
}};

inline constexpr std::array<std::pair<std::uint32_t, std::string_view>, 26> gguf_unread_types{{
    {9, "Q8_1"},   {10, "Q2_K"},    {11, "Q3_K"},   {12, "Q4_K"},    {13, "Q5_K"},  {14, "Q6_K"},
    {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"},
    {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},      {25, "I16"},   {26, "I32"},
    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"},
    {40, "NVFP4"}, {41, "Q1_0"},
}};

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

BRANCHLORA_INLINE float load_half(const std::byte* from) {
  return f16_to_float(load<std::uint16_t>(from));
}

/// Reads one block of `Bits` (4 or 5) bits an element: the scale d; the minimum m, if there is one;
/// the fifth bits of all elements; the lower four, those of element i and i + 16 in a byte. An
/// element is d q + m, or d (q - 2^(Bits - 1)) without a minimum. d q is exact in float.
template <int Bits, bool HasMinimum>
void read_small_block(const std::byte* block, float* out) {
  constexpr int centre = HasMinimum ? 0 : 1 << (Bits - 1);
  const float scale = load_half(block);
  const float minimum = HasMinimum ? load_half(block + 2) : 0.0F;
  const std::byte* rest = block + (HasMinimum ? 4 : 2);
  const std::uint32_t fifth = Bits == 5 ? load<std::uint32_t>(rest) : 0;
  const std::byte* lower = rest + (Bits == 5 ? 4 : 0);
  for (int i = 0; i < 32; ++i) {
    const int nibble = std::to_integer<int>(lower[i % 16] >> (i < 16 ? 0 : 4)) & 0xF;
    const int q = nibble | static_cast<int>(fifth >> i & 1U) << 4;
    const float product = scale * static_cast<float>(q - centre);
    out[i] = HasMinimum ? product + minimum : product;
  }
}

/// Reads one block of 8 bits an element: the scale d, and q of each element, which is d q.
BRANCHLORA_INLINE void read_byte_block(const std::byte* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < 32; ++i) {
    out[i] = scale * static_cast<float>(std::to_integer<std::int8_t>(block[2 + i]));
  }
}

}  // namespace detail

BRANCHLORA_INLINE std::optional<GgufBlock> find_gguf_block(std::uint32_t type) {
  for (const GgufBlock& block : detail::gguf_blocks) {
    if (static_cast<std::uint32_t>(block.type) == type) return block;
  }
  return std::nullopt;
}

BRANCHLORA_INLINE const GgufBlock& block_of(GgufType type) {
  return *std::ranges::find(detail::gguf_blocks, type, &GgufBlock::type);
}

BRANCHLORA_INLINE std::string gguf_type_name(std::uint32_t type) {
  if (const auto block = find_gguf_block(type)) return std::string(block->name);
  for (const auto& [number, name] : detail::gguf_unread_types) {
    if (number == type) return std::string(name);
  }
  return fmt::format("number {}", type);
}

BRANCHLORA_INLINE void dequantise(GgufType type, std::span<const std::byte> bytes,
                                  std::span<float> out) {
  const GgufBlock& block = block_of(type);
  const std::size_t count = bytes.size() / block.bytes;
  expect(bytes.size() % block.bytes == 0 && count * block.elements == out.size(),
         "dequantise: expected {} elements of {} in whole blocks of {} bytes, found {} bytes",
         out.size(), block.name, block.bytes, bytes.size());
  const auto each = [&](auto read) {
    for (std::size_t i = 0; i < count; ++i) {
      read(bytes.data() + i * block.bytes, out.data() + i * block.elements);
    }
  };
  using detail::load;
  switch (type) {
    case GgufType::F32:
      return each([](const std::byte* from, float* to) { *to = load<float>(from); });
    case GgufType::F16:
      return each([](const std::byte* from, float* to) { *to = detail::load_half(from); });
    case GgufType::BF16:
      return each(
          [](const std::byte* from, float* to) { *to = bf16_to_float(load<std::uint16_t>(from)); });
    case GgufType::Q4_0:
      return each(detail::read_small_block<4, false>);
    case GgufType::Q4_1:
      return each(detail::read_small_block<4, true>);
    case GgufType::Q5_0:
      return each(detail::read_small_block<5, false>);
    case GgufType::Q5_1:
      return each(detail::read_small_block<5, true>);
    case GgufType::Q8_0:
      return each(detail::read_byte_block);
  }
}

}  // namespace branchlora::io
