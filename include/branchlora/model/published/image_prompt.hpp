/// @file
/// Prompts in which a placeholder stands for the picture, as LLaVA's `<image>` does.
#pragma once

#include <cstdint>

#include "branchlora/model/batch.hpp"

namespace branchlora::model::published {

/// A turn about picture `image`: the one `placeholder` in its prompt is taken out, and the picture
/// stands in its place. Throws `Error` if there is none or more than one, or nothing after it.
Example about_image(TokenTurn turn, std::int32_t placeholder, Index image, std::int32_t task = 0);

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/image_prompt-inl.hpp"
#endif
