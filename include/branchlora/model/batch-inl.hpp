/// @file
/// The bodies of `batch.hpp`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "branchlora/autograd/op/cross_entropy.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/model/batch.hpp"

namespace branchlora::model {

BRANCHLORA_INLINE Index Batch::longest() const {
  Index most = 0;
  for (const std::int32_t position : positions) most = std::max<Index>(most, position + 1);
  return most;
}

BRANCHLORA_INLINE void Batch::push(const Example& example, Index image_tokens) {
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

BRANCHLORA_INLINE void Batch::expect_lead(const Example& example, Index lead) {
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

BRANCHLORA_INLINE Index Batch::push_text(const TokenTurn& turn, Index lead, Index prefix) {
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

}  // namespace branchlora::model
