/// @file
/// The bodies of `dataset.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/model/dataset.hpp"

namespace branchlora::model {

BRANCHLORA_INLINE std::string Dataset::losses() const {
  if (lost.empty()) return {};
  const std::span<const std::string> first(lost.data(), std::min<std::size_t>(lost.size(), 5));
  return fmt::format("{} of {} samples lose a whole answer at the maximal length: {}{}",
                     lost.size(), examples.size(), fmt::join(first, ", "),
                     first.size() < lost.size() ? ", ..." : "");
}

BRANCHLORA_INLINE std::vector<float> Dataset::pixels(Index image) const {
  return read(images[static_cast<std::size_t>(image)]);
}

namespace detail {

BRANCHLORA_INLINE std::vector<std::int32_t> tokens(const data::Tokenizer& tokenizer,
                                                   const std::string& text, Index& unknown) {
  const std::vector<Index> ids = tokenizer.encode(text);
  unknown += data::Tokenizer::count_unknown(ids);
  return {ids.begin(), ids.end()};
}

BRANCHLORA_INLINE Dataset make_dataset(std::span<const data::Sample> samples, std::int32_t task,
                                       std::size_t longest, const EncodeTurn& encode) {
  expect(longest > 0, "encode: expected a maximal length of at least one token, found 0");
  Dataset set;
  std::map<std::string, Index> seen;
  for (const data::Sample& sample : samples) {
    Example example{-1, task, {}};
    const bool picture = !sample.image.empty();
    if (picture) {
      const auto [found, fresh] = seen.emplace(sample.image, std::ssize(set.images));
      if (fresh) set.images.push_back(sample.image);
      example.image = found->second;
    }
    bool lost = false;
    for (const data::Turn& turn : sample.turns) {
      auto [tokens, before] = encode(turn, picture);
      const std::size_t prompt = std::min(tokens.prompt.size(), longest);
      const std::size_t answer = std::min(tokens.answer.size(), longest - prompt);
      expect(before == 0 || before < static_cast<Index>(prompt),
             "encode: sample {}: expected a maximal length above the {} tokens before its picture, "
             "found {}",
             sample.id, before, longest);
      lost = lost || answer == 0;
      set.shortened_answers += answer > 0 && answer < tokens.answer.size();
      tokens.prompt.resize(prompt);
      tokens.answer.resize(answer);
      example.image_at = before;
      example.turns.push_back(std::move(tokens));
    }
    if (lost) set.lost.push_back(sample.id);
    set.examples.push_back(std::move(example));
  }
  return set;
}

}  // namespace detail

BRANCHLORA_INLINE Dataset encode(std::span<const data::Sample> samples, data::ImageStore store,
                                 const data::Tokenizer& tokenizer, std::int32_t task,
                                 std::size_t longest) {
  Index unknown = 0;
  Dataset set =
      detail::make_dataset(samples, task, longest, [&](const data::Turn& turn, bool /*picture*/) {
        TokenTurn tokens{detail::tokens(tokenizer, turn.instruction, unknown),
                         detail::tokens(tokenizer, turn.answer, unknown)};
        tokens.prompt.insert(tokens.prompt.begin(),
                             static_cast<std::int32_t>(data::Tokenizer::begin));
        tokens.answer.push_back(static_cast<std::int32_t>(data::Tokenizer::end));
        return std::pair(std::move(tokens), Index{0});
      });
  set.unknown_tokens = unknown;
  set.read = [store = std::move(store)](const std::string& name) mutable {
    const auto rgb = store.load(name).rgb;
    return std::vector<float>(rgb.begin(), rgb.end());
  };
  return set;
}

BRANCHLORA_INLINE Example question(const Example& example) {
  return {example.image, example.task, {{example.turns.back().prompt, {}}}, example.image_at};
}

}  // namespace branchlora::model
