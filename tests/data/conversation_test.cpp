// Expected texts are what the published templates give: LLaVA's llava/conversation.py and
// train.py, the chat_template of SmolLM2-135M-Instruct, Qwen2 and Meta-Llama-3-8B-Instruct.
#include "branchlora/data/conversation.hpp"
#include "branchlora/data/text.hpp"
#include "branchlora/io/json.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

const Turn turn{"What is it?", "A cat."};
const std::string preamble =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions.";

BpeTokenizer golden(const std::string& name) {
  return BpeTokenizer::load(BRANCHLORA_SOURCE_DIR "/tests/golden/tokenizers/" + name + ".json");
}

}  // namespace

TEST_CASE("a turn in the form of each model") {
  CHECK(write_turn(Conversation::VicunaV1, turn) ==
        WrittenTurn{preamble + " USER: What is it? ASSISTANT:", " A cat.</s>"});
  CHECK(write_turn(Conversation::ChatMl, turn) ==
        WrittenTurn{"<|im_start|>user\nWhat is it?<|im_end|>\n<|im_start|>assistant\n",
                    "A cat.<|im_end|>"});
  CHECK(write_turn(Conversation::Llama3, turn) ==
        WrittenTurn{"<|start_header_id|>user<|end_header_id|>\n\nWhat is it?<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n",
                    "A cat.<|eot_id|>"});
  CHECK(write_turn(Conversation::Plain, turn) == WrittenTurn{"What is it?\n", "A cat."});
}

TEST_CASE("a picture comes before the instruction") {
  CHECK(write_turn(Conversation::VicunaV1, turn, true).prompt ==
        preamble + " USER: <image>\nWhat is it? ASSISTANT:");
  CHECK(write_turn(Conversation::Plain, turn, true).prompt == "<image>\nWhat is it?\n");
  CHECK(write_turn(Conversation::ChatMl, turn, true)
            .prompt.starts_with("<|im_start|>user\n<image>\nWhat is it?<|im_end|>"));
}

TEST_CASE("white space around is LLaMA-3's to take away, and no one else's") {
  const Turn wide{" What? \n", "\ta b "};
  const auto written = write_turn(Conversation::Llama3, wide);
  CHECK(written.prompt.find("\n\nWhat?<|eot_id|>") != std::string::npos);
  CHECK(written.answer == "a b<|eot_id|>");
  CHECK(write_turn(Conversation::ChatMl, wide) ==
        WrittenTurn{"<|im_start|>user\n What? \n<|im_end|>\n<|im_start|>assistant\n",
                    "\ta b <|im_end|>"});
  CHECK(trimmed(" \n ").empty());
}

TEST_CASE("forms go by names") {
  for (const auto form :
       {Conversation::VicunaV1, Conversation::ChatMl, Conversation::Llama3, Conversation::Plain}) {
    CHECK(parse_conversation(to_string(form)) == form);
    CHECK(write_turn(form, turn).answer.ends_with(end_mark(form)));
  }
  check_mentions(error_of([] { parse_conversation("vicuna"); }), "vicuna_v1, chatml, llama3",
                 "'vicuna'");
}

TEST_CASE("the form is guessed from a tokenizer's marks") {
  CHECK(guess_conversation(golden("llama")) == Conversation::VicunaV1);
  CHECK(guess_conversation(golden("smollm")) == Conversation::ChatMl);
  CHECK(guess_conversation(golden("qwen2")) == Conversation::ChatMl);
  CHECK(guess_conversation(golden("gpt2")) == Conversation::Plain);
  auto json = io::read_json(BRANCHLORA_SOURCE_DIR "/tests/golden/tokenizers/llama3.json");
  json["added_tokens"][1]["content"] = "<|start_header_id|>";
  json["model"]["vocab"]["<|start_header_id|>"] = json["added_tokens"][1]["id"];
  json["model"]["vocab"].erase("<|eot_id|>");
  CHECK(guess_conversation(BpeTokenizer(json)) == Conversation::Llama3);
}
