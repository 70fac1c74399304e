/// @file
/// The bodies of `image_prompt.hpp`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/model/published/image_prompt.hpp"

namespace branchlora::model::published {

BRANCHLORA_INLINE Example about_image(TokenTurn turn, std::int32_t placeholder, Index image,
                                      std::int32_t task) {
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
