/// @file
/// Data sets in the form in which the model takes them.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/model/batch.hpp"

namespace branchlora::model {

/// Samples as tokens, with the pictures that they name. Example i comes from sample i.
struct Dataset {
  std::vector<Example> examples;
  std::vector<data::Image> images;  ///< Each once; `Example::image` is an index, -1 for none.
  Index unknown_tokens = 0;         ///< Tokens that the vocabulary lacks.

  std::vector<float> pixels(Index image) const {
    const auto& rgb = images[static_cast<std::size_t>(image)].rgb;
    return {rgb.begin(), rgb.end()};
  }
};

namespace detail {

inline std::vector<std::int32_t> tokens(const data::Tokenizer& tokenizer, const std::string& text,
                                        Index& unknown) {
  const std::vector<Index> ids = tokenizer.encode(text);
  unknown += data::Tokenizer::count_unknown(ids);
  return {ids.begin(), ids.end()};
}

}  // namespace detail

/// Encodes samples for training: the loss is on the answers alone.
inline Dataset encode(std::span<const data::Sample> samples, data::ImageStore& store,
                      const data::Tokenizer& tokenizer, std::int32_t task = 0) {
  Dataset set;
  std::map<std::string, Index> seen;
  for (const data::Sample& sample : samples) {
    Example example{-1, task, {}};
    if (!sample.image.empty()) {
      const auto [found, fresh] = seen.emplace(sample.image, std::ssize(set.images));
      if (fresh) set.images.push_back(store.load(sample.image));
      example.image = found->second;
    }
    for (const data::Turn& turn : sample.turns) {
      TokenTurn t{detail::tokens(tokenizer, turn.instruction, set.unknown_tokens),
                  detail::tokens(tokenizer, turn.answer, set.unknown_tokens)};
      t.prompt.insert(t.prompt.begin(), static_cast<std::int32_t>(data::Tokenizer::begin));
      t.answer.push_back(static_cast<std::int32_t>(data::Tokenizer::end));
      example.turns.push_back(std::move(t));
    }
    set.examples.push_back(std::move(example));
  }
  return set;
}

/// The example of a sample without its answers, for generation. Of several turns the last is asked.
inline Example question(const Example& example) {
  return {example.image, example.task, {{example.turns.back().prompt, {}}}};
}

}  // namespace branchlora::model
