/// @file
/// The element types of GGUF's tensors: plain floating-point ones, and blocks of 32 elements as
/// small whole numbers with a scale in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace branchlora::io {

/// Type of a tensor's elements, as GGUF numbers it.
enum class GgufType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  BF16 = 30,
};

/// How elements of a type lie in a file: `elements` of them in `bytes`.
struct GgufBlock {
  GgufType type{};
  std::string_view name;
  std::size_t elements = 1;
  std::size_t bytes = 1;
};

/// The block of the type that GGUF gives the number `type`, unless it is not read here.
std::optional<GgufBlock> find_gguf_block(std::uint32_t type);

/// The block of `type`.
const GgufBlock& block_of(GgufType type);

/// The name of the type of number `type`, read here or not: "Q4_1", "Q6_K", "number 77".
std::string gguf_type_name(std::uint32_t type);

/// Writes the elements that `bytes`, whole blocks of `type`, stand for to `out`. Throws `Error` if
/// `out` has not as many.
void dequantise(GgufType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/gguf_blocks-inl.hpp"
#endif
