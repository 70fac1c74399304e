/// @file
/// Unicode's normalisation form C: letters and their marks joined where one code point has both.
#pragma once

#include <string>
#include <string_view>

namespace branchlora::data::bpe {

/// `points` in normalisation form C (Unicode standard annex 15).
std::u32string nfc(std::u32string_view points);

/// The UTF-8 text `text` in normalisation form C.
std::string nfc(std::string_view text);

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/nfc-inl.hpp"
#endif
