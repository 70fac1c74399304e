/// @file
/// The bodies of `encode.hpp`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/text.hpp"
#include "branchlora/model/published/encode.hpp"
#include "branchlora/model/published/image_prompt.hpp"

namespace branchlora::model::published {

BRANCHLORA_INLINE std::vector<std::int32_t> encode_text(const Language& language,
                                                        std::string_view text, bool goes_on) {
  using enum data::SpecialTokens;
  const auto ids = language.tokenizer.encode(text, goes_on ? Omit : Keep);
  return {ids.begin(), ids.end()};
}

BRANCHLORA_INLINE std::vector<std::int32_t> encode_about_picture(const Language& language,
                                                                 std::string_view text) {
  const auto mark = text.find(data::image_mark);
  expect(mark != text.npos && text.rfind(data::image_mark) == mark,
         "prompt: expected '{}' once, where the picture belongs, found it {} in '{}'",
         data::image_mark, mark == text.npos ? "nowhere" : "more often", text);
  if (language.tokenizer.id(data::image_mark) == Index{language.image_token}) {
    return encode_text(language, text);
  }
  auto ids = encode_text(language, text.substr(0, mark));
  ids.push_back(language.image_token);
  const auto rest = encode_text(language, text.substr(mark + data::image_mark.size()), true);
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

BRANCHLORA_INLINE TokenTurn encode_turn(const Language& language, const data::Turn& turn,
                                        bool picture) {
  const auto written = data::write_turn(language.conversation, turn, picture);
  const auto tokens = [&](const std::string& text) {
    return picture ? encode_about_picture(language, text) : encode_text(language, text);
  };
  TokenTurn out{tokens(written.prompt), tokens(written.prompt + written.answer)};
  const auto [whole, prompt] = std::ranges::mismatch(out.answer, out.prompt);
  if (prompt == out.prompt.end()) {
    out.answer.erase(out.answer.begin(), whole);
  } else {
    out.answer = encode_text(language, written.answer, true);
  }
  if (out.answer.empty() || out.answer.back() != language.end()) {
    out.answer.push_back(language.end());
  }
  return out;
}

BRANCHLORA_INLINE Dataset encode(std::span<const data::Sample> samples, data::ImageStore store,
                                 const Language& language, std::int32_t task, std::size_t longest) {
  Dataset set = model::detail::make_dataset(
      samples, task, longest, [&](const data::Turn& turn, bool picture) {
        TokenTurn tokens = encode_turn(language, turn, picture);
        if (!picture) return std::pair(std::move(tokens), Index{0});
        Example placed = about_image(std::move(tokens), language.image_token, 0);
        return std::pair(std::move(placed.turns.front()), placed.image_at);
      });
  set.read = [store = std::move(store), how = language.pictures](const std::string& name) mutable {
    return data::clip_pixels(store.load(name), how);
  };
  return set;
}

}  // namespace branchlora::model::published
