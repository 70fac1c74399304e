/// @file
/// Prompts in which a placeholder stands for the picture, as LLaVA's `<image>` does.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/model/batch.hpp"

namespace branchlora::model::published {

/// A turn about picture `image`: the one `placeholder` in its prompt is taken out, and the picture
/// stands in its place. Throws `Error` if there is none or more than one, or nothing after it.
inline Example about_image(TokenTurn turn, std::int32_t placeholder, Index image,
                           std::int32_t task = 0) {
  auto& prompt = turn.prompt;
  const auto count = std::ranges::count(prompt, placeholder);
  expect(count == 1, "prompt: expected one token {} for its picture, found {}", placeholder, count);
  const auto place = std::ranges::find(prompt, placeholder);
  const Index before = place - prompt.begin();
  prompt.erase(place);
  expect(before < std::ssize(prompt), "prompt: expected text after the picture, found none");
  return {image, task, {std::move(turn)}, before};
}

}  // namespace branchlora::model::published
