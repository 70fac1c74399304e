/// @file
/// A training or evaluation batch, as the decoder takes it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/autograd/op/cross_entropy.hpp"
#include "branchlora/core/error.hpp"
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
  Index longest() const {
    Index most = 0;
    for (const std::int32_t position : positions) most = std::max<Index>(most, position + 1);
    return most;
  }

  /// Appends an example whose image takes `image_tokens` rows. A single turn is one span with its
  /// image; several turns share the image, and what stands before it, and do not see each other.
  /// Throws `Error` unless every prompt goes on after the image and they begin alike before it.
  void push(const Example& example, Index image_tokens) {
    const Index lead = example.image < 0 ? 0 : example.image_at;
    if (example.image < 0) image_tokens = 0;
    expect_lead(example, lead);
    const auto image = static_cast<std::int32_t>(std::ssize(images) * image_tokens);
    const std::size_t before = kept.rows.size();
    const auto first_row = static_cast<std::int32_t>(order.size());
    const std::size_t first_prediction = rows.size();
    for (Index i = 0; i < lead; ++i) {
      order.push_back(-1 - static_cast<std::int32_t>(text.size()));
      positions.push_back(static_cast<std::int32_t>(i));
      text.push_back(example.turns.front().prompt[static_cast<std::size_t>(i)]);
    }
    for (Index i = 0; i < image_tokens; ++i) {
      order.push_back(image + static_cast<std::int32_t>(i));
      positions.push_back(static_cast<std::int32_t>(lead + i));
    }
    const Index prefix = lead + image_tokens;
    std::vector<Index> lengths;
    for (const TokenTurn& turn : example.turns) lengths.push_back(push_text(turn, lead, prefix));
    if (lengths.size() == 1) {
      sequences.push(prefix + lengths.front());
    } else {
      sequences.push(prefix, lengths);
    }
    kept.rows.push_back(first_row);
    for (std::size_t i = first_prediction; i < rows.size(); ++i) {
      if (rows[i] != first_row) kept.rows.push_back(rows[i]);
      predicting.push_back(static_cast<std::int32_t>(kept.rows.size()) - 1);
    }
    kept.sequences.push(static_cast<Index>(kept.rows.size() - before));
    tasks.push_back(example.task);
    if (example.image >= 0) images.push_back(example.image);
  }

 private:
  static void expect_lead(const Example& example, Index lead) {
    if (lead == 0) return;
    expect(lead > 0, "batch: an image after {} tokens of its prompt", lead);
    for (const TokenTurn& turn : example.turns) {
      expect(lead < std::ssize(turn.prompt),
             "batch: an image after {} tokens, but a prompt of {}: it must go on after the image",
             lead, turn.prompt.size());
      expect(std::equal(turn.prompt.begin(), turn.prompt.begin() + lead,
                        example.turns.front().prompt.begin()),
             "batch: turns about one image differ in the {} tokens before it", lead);
    }
  }

  /// A turn's text without its first `lead` tokens, at the positions after `prefix` rows.
  Index push_text(const TokenTurn& turn, Index lead, Index prefix) {
    const auto before = static_cast<Index>(order.size());
    const auto put = [&](std::int32_t token) {
      order.push_back(-1 - static_cast<std::int32_t>(text.size()));
      positions.push_back(static_cast<std::int32_t>(prefix + std::ssize(order) - 1 - before));
      text.push_back(token);
    };
    for (auto token = turn.prompt.begin() + lead; token != turn.prompt.end(); ++token) put(*token);
    for (std::size_t i = 0; i < turn.answer.size(); ++i) {
      rows.push_back(static_cast<std::int32_t>(order.size()) - 1);
      targets.push_back(turn.answer[i]);
      if (i + 1 < turn.answer.size()) put(turn.answer[i]);
    }
    if (turn.answer.empty()) {
      rows.push_back(static_cast<std::int32_t>(order.size()) - 1);
      targets.push_back(op::ignored);
    }
    return static_cast<Index>(order.size()) - before;
  }
};

}  // namespace branchlora::model
