/// @file
/// How turns are written.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/bpe/bpe_tokenizer.hpp"
#include "branchlora/data/conversation.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/text.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE Conversation parse_conversation(std::string_view name) {
  for (const auto form :
       {Conversation::VicunaV1, Conversation::ChatMl, Conversation::Llama3, Conversation::Plain}) {
    if (to_string(form) == name) return form;
  }
  fail("expected a conversation vicuna_v1, chatml, llama3 or plain, found '{}'", name);
}

BRANCHLORA_INLINE Conversation guess_conversation(const BpeTokenizer& tokenizer) {
  if (tokenizer.id("<|im_start|>")) return Conversation::ChatMl;
  if (tokenizer.id("<|start_header_id|>")) return Conversation::Llama3;
  return tokenizer.id("</s>") ? Conversation::VicunaV1 : Conversation::Plain;
}

BRANCHLORA_INLINE WrittenTurn write_turn(Conversation form, const Turn& turn, bool picture) {
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
