/// @file
/// Data sets in the form in which the model takes them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "branchlora/core/error.hpp"
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
  Index shortened_answers = 0;      ///< Answers that were cut, but for those lost whole.
  std::vector<std::string> lost;    ///< Ids of samples of which a whole answer was cut off.

  /// A sentence that says which samples lost a whole answer, for whoever trains on them: such a
  /// turn teaches nothing. Empty if there is none.
  std::string losses() const {
    if (lost.empty()) return {};
    const std::span<const std::string> first(lost.data(), std::min<std::size_t>(lost.size(), 5));
    return fmt::format("{} of {} samples lose a whole answer at the maximal length: {}{}",
                       lost.size(), examples.size(), fmt::join(first, ", "),
                       first.size() < lost.size() ? ", ..." : "");
  }

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

/// Encodes samples for training: the loss is on the answers alone. A turn of more than `longest`
/// text tokens is cut at its end; answers that this shortens or takes away are counted, and a turn
/// whose answer is lost keeps its place with nothing to learn (`Dataset::losses`).
inline Dataset encode(std::span<const data::Sample> samples, data::ImageStore& store,
                      const data::Tokenizer& tokenizer, std::int32_t task = 0,
                      std::size_t longest = std::numeric_limits<std::size_t>::max()) {
  expect(longest > 0, "encode: expected a maximal length of at least one token, found 0");
  Dataset set;
  std::map<std::string, Index> seen;
  for (const data::Sample& sample : samples) {
    Example example{-1, task, {}};
    if (!sample.image.empty()) {
      const auto [found, fresh] = seen.emplace(sample.image, std::ssize(set.images));
      if (fresh) set.images.push_back(store.load(sample.image));
      example.image = found->second;
    }
    bool lost = false;
    for (const data::Turn& turn : sample.turns) {
      TokenTurn t{detail::tokens(tokenizer, turn.instruction, set.unknown_tokens),
                  detail::tokens(tokenizer, turn.answer, set.unknown_tokens)};
      t.prompt.insert(t.prompt.begin(), static_cast<std::int32_t>(data::Tokenizer::begin));
      t.answer.push_back(static_cast<std::int32_t>(data::Tokenizer::end));
      const std::size_t prompt = std::min(t.prompt.size(), longest);
      const std::size_t answer = std::min(t.answer.size(), longest - prompt);
      lost = lost || answer == 0;
      set.shortened_answers += answer > 0 && answer < t.answer.size();
      t.prompt.resize(prompt);
      t.answer.resize(answer);
      example.turns.push_back(std::move(t));
    }
    if (lost) set.lost.push_back(sample.id);
    set.examples.push_back(std::move(example));
  }
  return set;
}

/// The example of a sample without its answers, for generation. Of several turns the last is asked.
inline Example question(const Example& example) {
  return {example.image, example.task, {{example.turns.back().prompt, {}}}, example.image_at};
}

}  // namespace branchlora::model
