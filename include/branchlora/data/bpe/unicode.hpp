/// @file
/// The classes of characters that the patterns of tokenizers name.
#pragma once

namespace branchlora::data::bpe {

/// True for `\p{L}`: letters.
bool is_letter(char32_t c);

/// True for `\p{M}`: marks that combine with what stands before them.
bool is_mark(char32_t c);

/// True for `\p{N}`: digits, and other numbers as fractions and Roman numerals.
bool is_number(char32_t c);

/// True for `\s`: white space, line ends and U+0085 among it.
constexpr bool is_space(char32_t c) {
  return c == U' ' || (c >= 0x9 && c <= 0xD) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/unicode-inl.hpp"
#endif
