/// @file
/// The characters that byte-level tokenizers write for bytes.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace branchlora::data::bpe {

/// The character for each byte: itself where it is printable in Latin-1, else the next unused one
/// from U+0100 on (Radford et al., "Language models are unsupervised multitask learners", 2019).
inline constexpr std::array<char32_t, 256> byte_characters = [] {
  std::array<char32_t, 256> map{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte <= 0xFF && byte != 0xAD);
    map[byte] = printable ? byte : next++;
  }
  return map;
}();

/// Each byte of `text` as its character.
std::string bytes_to_characters(std::string_view text);

/// The bytes whose characters `text` has, or nothing if one is the character of no byte.
std::optional<std::string> characters_to_bytes(std::string_view text);

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/byte_map-inl.hpp"
#endif
