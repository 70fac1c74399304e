/// @file
/// Data sets in the form in which the model takes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/model/batch.hpp"

namespace branchlora::data {

class ImageStore;
struct Sample;
class Tokenizer;
struct Turn;

}  // namespace branchlora::data

namespace branchlora::model {

/// Samples as tokens, with the pictures that they name. Example i comes from sample i.
struct Dataset {
  std::vector<Example> examples;
  /// Names of pictures, each once; `Example::image` is an index, -1 for none.
  std::vector<std::string> images;
  /// The pixels of the picture of that name, as the model's vision tower takes them.
  std::function<std::vector<float>(const std::string&)> read;
  Index unknown_tokens = 0;       ///< Tokens that the vocabulary lacks.
  Index shortened_answers = 0;    ///< Answers that were cut, but for those lost whole.
  std::vector<std::string> lost;  ///< Ids of samples of which a whole answer was cut off.

  /// A sentence that says which samples lost a whole answer, for whoever trains on them: such a
  /// turn teaches nothing. Empty if there is none.
  std::string losses() const;

  /// The pixels of a picture, read when they are asked for.
  std::vector<float> pixels(Index image) const;
};

namespace detail {

/// The tokens of a turn, and how many stand before its picture if it is about one.
using EncodeTurn = std::function<std::pair<TokenTurn, Index>(const data::Turn&, bool picture)>;

/// Makes a data set of samples whose turns `encode` turns into tokens. A turn of more than
/// `longest` text tokens is cut at its end.
Dataset make_dataset(std::span<const data::Sample> samples, std::int32_t task, std::size_t longest,
                     const EncodeTurn& encode);

}  // namespace detail

/// Encodes samples for training: the loss is on the answers alone. A turn of more than `longest`
/// text tokens is cut at its end; answers that this shortens or takes away are counted, and a turn
/// whose answer is lost keeps its place with nothing to learn (`Dataset::losses`).
Dataset encode(std::span<const data::Sample> samples, data::ImageStore store,
               const data::Tokenizer& tokenizer, std::int32_t task = 0,
               std::size_t longest = std::numeric_limits<std::size_t>::max());

/// The example of a sample without its answers, for generation. Of several turns the last is asked.
Example question(const Example& example);

}  // namespace branchlora::model

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/dataset-inl.hpp"
#endif
