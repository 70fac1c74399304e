/// @file
/// How a turn is written for a published chat model.
#pragma once

#include <string>
#include <string_view>

#include "branchlora/core/error.hpp"
#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/text.hpp"

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
inline Conversation parse_conversation(std::string_view name) {
  for (const auto form :
       {Conversation::VicunaV1, Conversation::ChatMl, Conversation::Llama3, Conversation::Plain}) {
    if (to_string(form) == name) return form;
  }
  fail("expected a conversation vicuna_v1, chatml, llama3 or plain, found '{}'", name);
}

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
inline Conversation guess_conversation(const BpeTokenizer& tokenizer) {
  if (tokenizer.id("<|im_start|>")) return Conversation::ChatMl;
  if (tokenizer.id("<|start_header_id|>")) return Conversation::Llama3;
  return tokenizer.id("</s>") ? Conversation::VicunaV1 : Conversation::Plain;
}

/// A turn as text: all that comes before the answer, and the answer with its end mark.
struct WrittenTurn {
  std::string prompt;
  std::string answer;

  bool operator==(const WrittenTurn&) const = default;
};

/// Writes a turn; one about a picture begins with its mark and a line feed, as LLaVA's does.
inline WrittenTurn write_turn(Conversation form, const Turn& turn, bool picture = false) {
  const auto ask = [&](std::string_view instruction) {
    return picture ? fmt::format("{}\n{}", image_mark, instruction) : std::string(instruction);
  };
  const auto end = end_mark(form);
  switch (form) {
    case Conversation::VicunaV1:
      return {fmt::format("A chat between a curious user and an artificial intelligence assistant. "
                          "The assistant gives helpful, detailed, and polite answers to the user's "
                          "questions. USER: {} ASSISTANT:",
                          ask(turn.instruction)),
              fmt::format(" {}{}", turn.answer, end)};
    case Conversation::ChatMl:
      return {fmt::format("<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n",
                          ask(turn.instruction)),
              fmt::format("{}{}", turn.answer, end)};
    case Conversation::Llama3:
      return {fmt::format("<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
                          "<|start_header_id|>assistant<|end_header_id|>\n\n",
                          ask(trimmed(turn.instruction))),
              fmt::format("{}{}", trimmed(turn.answer), end)};
    case Conversation::Plain:
      break;
  }
  return {ask(turn.instruction) + "\n", turn.answer};
}

}  // namespace branchlora::data
