/// @file
/// Samples in the form in which a published model takes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "branchlora/model/dataset.hpp"
#include "branchlora/model/published/language.hpp"

namespace branchlora::model::published {

/// The tokens of a text with those that the model expects around it, unless the text `goes_on`.
std::vector<std::int32_t> encode_text(const Language& language, std::string_view text,
                                      bool goes_on = false);

/// The same of a text about a picture, in which `language.image_token` stands where the text has
/// its mark. A tokenizer that gives the mark that number finds it; for another, what comes before
/// and after is tokenised apart, as LLaVA's authors do. Throws `Error` if there is no mark or
/// more than one.
std::vector<std::int32_t> encode_about_picture(const Language& language, std::string_view text);

/// The tokens of a turn. The answer's are those by which the whole text is longer than the prompt,
/// or, where a token of the whole lies on the border, those of the answer by itself; its last is
/// `language.end()`. The prompt of a turn about a `picture` is that of `encode_about_picture`.
TokenTurn encode_turn(const Language& language, const data::Turn& turn, bool picture);

/// Encodes samples for a published model, as `model::encode` does for MiniCoIN's: the loss is on
/// the answers alone; turns of more than `longest` text tokens are cut, and lost answers named
/// (`Dataset::losses`). Pictures, of which each turn of a sample begins with the same one, are read
/// from `store` as they are asked for. Throws `Error` if a maximal length leaves no room for what
/// stands before a picture, or an instruction itself has an image mark.
Dataset encode(std::span<const data::Sample> samples, data::ImageStore store,
               const Language& language, std::int32_t task = 0,
               std::size_t longest = std::numeric_limits<std::size_t>::max());

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/encode-inl.hpp"
#endif
