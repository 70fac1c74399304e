/// @file
/// A training or evaluation batch, as the decoder takes it.
#pragma once

#include <cstdint>
#include <vector>

#include "branchlora/core/sequences.hpp"
#include "branchlora/model/kept_rows.hpp"

namespace branchlora::model {

/// One instruction and its answer in tokens: `prompt` begins with the begin-of-sequence token,
/// `answer` ends with the end-of-sequence token (and is empty where there is nothing to learn).
struct TokenTurn {
  std::vector<std::int32_t> prompt;
  std::vector<std::int32_t> answer;
};

/// Turns about one image, which is an index into whatever holds the images, or -1 for text alone.
struct Example {
  Index image = 0;
  std::int32_t task = 0;
  std::vector<TokenTurn> turns;
  /// Tokens of the prompt that stand before the image: the place of `<image>` in LLaVA's prompt.
  /// Several turns share them, as they share the image.
  Index image_at = 0;
};

/// Sequences of image tokens within or before their text, without padding. Image tokens come from a
/// matrix of images * image_tokens rows, in the order of the examples that have one.
struct Batch {
  Sequences sequences;
  std::vector<std::int32_t> tasks;       ///< Of each sequence.
  std::vector<Index> images;             ///< Of each sequence that has one.
  std::vector<std::int32_t> text;        ///< Ids of all text tokens.
  std::vector<std::int32_t> order;       ///< For `op::interleave`: image rows, and text as -1 - i.
  std::vector<std::int32_t> positions;   ///< Of each row; turns restart after the image.
  std::vector<std::int32_t> rows;        ///< Rows that predict a token.
  std::vector<std::int32_t> targets;     ///< The token that each predicts.
  KeptRows kept;                         ///< `rows`, and the first row of each sequence.
  std::vector<std::int32_t> predicting;  ///< `rows` as indices of `kept.rows`.

  /// Tokens of the longest sequence, of several turns about one image each for itself.
  Index longest() const;

  /// Appends an example whose image takes `image_tokens` rows. A single turn is one span with its
  /// image; several turns share the image, and what stands before it, and do not see each other.
  /// Throws `Error` unless every prompt goes on after the image and they begin alike before it.
  void push(const Example& example, Index image_tokens);

 private:
  static void expect_lead(const Example& example, Index lead);

  /// A turn's text without its first `lead` tokens, at the positions after `prefix` rows.
  Index push_text(const TokenTurn& turn, Index lead, Index prefix);
};

}  // namespace branchlora::model

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/batch-inl.hpp"
#endif
