/// @file
/// How a turn is written for a published chat model.
#pragma once

#include <string>
#include <string_view>

#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/data/sample.hpp"

namespace branchlora::data {

/// The forms in which a question is put to a published model. All write one turn, for turns do not
/// see each other here; none begins with the token that begins a text, which is the tokenizer's.
enum class Conversation {
  VicunaV1,  ///< Vicuna 1.5, LLaVA-1.5 and CoIN: `vicuna_v1` of LLaVA's `conversation.py`.
  ChatMl,    ///< SmolLM2 and Qwen: their `chat_template`, without a system message.
  Llama3,    ///< LLaMA-3-Instruct: its `chat_template`, without a system message.
  Plain,     ///< The instruction and a line feed, for models without a form of their own.
};

/// The name on command lines and in messages.
constexpr std::string_view to_string(Conversation form) {
  switch (form) {
    case Conversation::VicunaV1:
      return "vicuna_v1";
    case Conversation::ChatMl:
      return "chatml";
    case Conversation::Llama3:
      return "llama3";
    case Conversation::Plain:
      return "plain";
  }
  return "unknown";
}

/// The form of that name. Throws `Error` listing the names.
Conversation parse_conversation(std::string_view name);

/// The token that ends an answer; of `Plain`, which has none, an empty text.
constexpr std::string_view end_mark(Conversation form) {
  switch (form) {
    case Conversation::VicunaV1:
      return "</s>";
    case Conversation::ChatMl:
      return "<|im_end|>";
    case Conversation::Llama3:
      return "<|eot_id|>";
    case Conversation::Plain:
      break;
  }
  return {};
}

/// The form that a tokenizer is made for, by the marks that it knows: `ChatMl` or `Llama3`;
/// `VicunaV1` where an answer ends with `</s>`; else `Plain`. A guess: a tokenizer does not tell
/// whether its model was taught to converse.
Conversation guess_conversation(const BpeTokenizer& tokenizer);

/// A turn as text: all that comes before the answer, and the answer with its end mark.
struct WrittenTurn {
  std::string prompt;
  std::string answer;

  bool operator==(const WrittenTurn&) const = default;
};

/// Writes a turn; one about a picture begins with its mark and a line feed, as LLaVA's does.
WrittenTurn write_turn(Conversation form, const Turn& turn, bool picture = false);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/conversation-inl.hpp"
#endif
