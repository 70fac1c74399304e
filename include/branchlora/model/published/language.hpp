/// @file
/// What a published model reads and writes: its tokens, its conversations, its pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/data/clip_image.hpp"
#include "branchlora/data/conversation.hpp"

namespace branchlora::model::published {

class Checkpoint;

/// All that stands between text and pictures on one side and a published model on the other.
struct Language {
  data::BpeTokenizer tokenizer;
  data::Conversation conversation = data::Conversation::Plain;
  /// Tokens that end an answer: first the one that answers are taught to end with.
  std::vector<std::int32_t> ends{};
  std::int32_t image_token = -200;  ///< `Checkpoint::image_token`.
  data::ClipPreprocessing pictures{};

  /// Reads the `tokenizer.json` in the checkpoint's folder, and what tells how answers end:
  /// `generation_config.json` or else `config.json`. Without a `form` it is guessed from the
  /// tokenizer. Pictures become what CLIP's processor makes of them, with the size and squaring of
  /// `checkpoint`, or as `preprocessor_config.json` says. Throws `Error` if the tokenizer is
  /// absent, does not fit the model, or lacks the end mark of the conversation.
  static Language open(const std::filesystem::path& folder, const Checkpoint& checkpoint,
                       std::optional<data::Conversation> form = {});

  std::int32_t end() const { return ends.front(); }

  /// The text of an answer up to its end, without special tokens and white space around it.
  std::string text(std::span<const std::int32_t> answer) const;
};

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/language-inl.hpp"
#endif
