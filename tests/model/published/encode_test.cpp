#include "branchlora/model/published/encode.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "../../io/temporary_folder.hpp"
#include "branchlora/model/published/checkpoint.hpp"
#include "model/published/golden.hpp"
#include "model/samples.hpp"

using namespace branchlora;
using namespace branchlora::test;
using data::BpeTokenizer;
using data::Conversation;
using model::published::Checkpoint;
using model::published::encode_about_picture;
using model::published::encode_text;
using model::published::encode_turn;
using model::published::Language;
using Ids = std::vector<std::int32_t>;

namespace {

const std::filesystem::path golden_root = BRANCHLORA_SOURCE_DIR "/tests/golden";

BpeTokenizer tokenizer(const std::string& name) {
  return BpeTokenizer::load(golden_root / "tokenizers" / (name + ".json"));
}

Ids joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A language of the tokenizer beside a golden checkpoint, which knows <image> as 47.
Language toy() {
  const auto folder = golden_model("llava");
  return Language::open(folder, Checkpoint::open(folder), Conversation::Plain);
}

}  // namespace

TEST_CASE("prompts have the tokens that transformers gave them") {
  for (const auto& answer : io::read_json(golden_root / "answers.json")["answers"]) {
    const std::string folder = answer["model"];
    const std::string question = answer["question"];
    CAPTURE(folder);
    CAPTURE(question);
    const auto checkpoint = Checkpoint::open(golden_model(folder),
                                             {.vision_tower = golden_model("llava-original-clip")});
    const auto language = Language::open(golden_model(folder), checkpoint, Conversation::Plain);
    const bool picture = answer["image"];
    Ids prompt;
    if (!answer["raw"]) {
      prompt = encode_turn(language, {question, ""}, picture).prompt;
    } else if (picture) {
      prompt = encode_about_picture(language, question);
    } else {
      prompt = encode_text(language, question);
    }
    std::ranges::replace(prompt, -200, 47);
    CHECK(prompt == answer["prompt"].get<Ids>());
    CHECK(language.tokenizer.decode(answer["ids"].get<std::vector<Index>>()) == answer["text"]);
  }
}

TEST_CASE("a turn of LLaVA is tokenised and learned as its authors do it") {
  // Theirs: the conversation is cut at <image>, its pieces are tokenised with <s>, of which all but
  // the first are dropped; what is learned begins one token before the end of the tokens up to and
  // with "ASSISTANT: ".
  const Language llava{tokenizer("llama"), Conversation::VicunaV1, {2}, -200};
  const auto theirs = [&](const std::string& text) {
    const auto mark = text.find("<image>");
    const Ids second = encode_text(llava, text.substr(mark + 7));
    REQUIRE(second.front() == 1);
    return joined(joined(encode_text(llava, text.substr(0, mark)), {-200}),
                  {second.begin() + 1, second.end()});
  };
  for (const data::Turn& turn : {data::Turn{"What is on the left?", "The red fox."},
                                 data::Turn{"Describe:\n1. one", "12 dogs\nand a cat"}}) {
    const auto written = data::write_turn(Conversation::VicunaV1, turn, true);
    const Ids whole = theirs(written.prompt + written.answer);
    const auto learned_from = std::ssize(theirs(written.prompt + " ")) - 1;
    const auto found = encode_turn(llava, turn, true);
    CHECK(found.prompt == Ids(whole.begin(), whole.begin() + learned_from));
    CHECK(found.answer == Ids(whole.begin() + learned_from, whole.end()));
    CHECK(found.answer.back() == 2);
    CHECK(std::ranges::count(found.prompt, -200) == 1);
    CHECK(llava.text(found.answer) == turn.answer);
  }
}

TEST_CASE("answers end with the mark of their form, or the token that ends a text") {
  const Language chat{tokenizer("smollm"), Conversation::ChatMl, {2, 0}};
  const auto turn = encode_turn(chat, {"Why?", "So."}, false);
  CHECK(turn.prompt ==
        encode_text(chat, "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"));
  CHECK(turn.answer == joined(encode_text(chat, "So."), {2}));
  CHECK(std::ranges::count(turn.answer, 2) == 1);
  CHECK(chat.text(joined(turn.answer, {0, 70})) == "So.");
  CHECK(chat.text(Ids{0, 70}).empty());

  const Language plain{tokenizer("smollm"), Conversation::Plain, {0}};
  const auto bare = encode_turn(plain, {"Why?", "So."}, false);
  CHECK(bare.prompt == encode_text(plain, "Why?\n"));
  CHECK(bare.answer == joined(encode_text(plain, "So."), {0}));
  CHECK(encode_turn(plain, {"Why?", ""}, false).answer == Ids{0});
}

TEST_CASE("a token on the border between prompt and answer parts them") {
  const Language qwen{tokenizer("qwen2"), Conversation::Plain, {0}};
  REQUIRE(encode_text(qwen, "a\n\nb").size() == 3);  // the line feeds are one token
  const auto turn = encode_turn(qwen, {"a", "\nb"}, false);
  CHECK(turn.prompt == encode_text(qwen, "a\n"));
  CHECK(turn.answer == joined(encode_text(qwen, "\nb"), {0}));
}

TEST_CASE("samples become a data set whose pictures are read when asked for") {
  const TemporaryFolder folder;
  data::Image image{20, 12, std::vector<std::uint8_t>(20 * 12 * 3, 90)};
  for (std::size_t i = 0; i < image.rgb.size(); i += 7) image.rgb[i] = 200;
  const Language language = toy();
  std::vector<data::Sample> samples{sample_of("1", "a.png", "what is it?", "a stone"),
                                    sample_of("2", "", "where?", "there"),
                                    sample_of("3", "a.png", "who?", "he")};
  samples[2].turns.push_back({"and then?", "she"});
  const auto set = model::published::encode(samples, data::ImageStore(folder.path()), language, 5);
  folder.write("a.png", png_of(image));
  REQUIRE(set.images == std::vector<std::string>{"a.png"});
  CHECK(set.pixels(0) == data::clip_pixels(image, {.size = 16}));
  REQUIRE(set.examples.size() == 3);
  CHECK(set.examples[0].image == 0);
  CHECK(set.examples[0].image_at == 1);  // after <s>
  CHECK(set.examples[0].task == 5);
  CHECK(set.examples[0].turns[0].prompt ==
        joined({1}, encode_text(language, "\nwhat is it?\n", true)));
  CHECK(set.examples[0].turns[0].answer == Ids{5, 46, 24, 41, 9, 2});  // no space comes before
  CHECK(set.examples[1].image == -1);
  CHECK(set.examples[1].image_at == 0);
  CHECK(set.examples[2].image == 0);
  CHECK(set.examples[2].turns[1].prompt ==
        joined({1}, encode_text(language, "\nand then?\n", true)));
  CHECK(set.losses().empty());
  model::Batch batch;
  for (const auto& example : set.examples) batch.push(example, 16);
  CHECK(batch.images == std::vector<Index>{0, 0});
}

TEST_CASE("what is too long is cut, counted and named") {
  const TemporaryFolder folder;
  const data::ImageStore store(folder.path());
  const Language language = toy();
  const std::vector<data::Sample> samples{sample_of("whole", "a.png", "is it?", "on"),
                                          sample_of("lost", "a.png", "is it on the water?", "on")};
  const auto whole = model::published::encode(samples, store, language);
  const auto longest = whole.examples[1].turns[0].prompt.size();
  const auto set = model::published::encode(samples, store, language, 0, longest);
  CHECK(set.losses() == "1 of 2 samples lose a whole answer at the maximal length: lost");
  CHECK(set.examples[0].turns[0].answer == whole.examples[0].turns[0].answer);
  CHECK(set.examples[1].turns[0].prompt == whole.examples[1].turns[0].prompt);
  CHECK(set.examples[1].turns[0].answer.empty());
  const auto shorter = model::published::encode(samples, store, language, 0, longest + 1);
  CHECK(shorter.shortened_answers == 1);
  CHECK(shorter.losses().empty());
  check_mentions(error_of([&] { model::published::encode(samples, store, language, 0, 1); }),
                 "sample whole", "above the 1 tokens before its picture", "found 1");
}

TEST_CASE("a picture has one place") {
  const Language language = toy();
  check_mentions(error_of([&] { encode_about_picture(language, "what is it?"); }), "'<image>' once",
                 "nowhere", "what is it?");
  check_mentions(error_of([&] {
                   encode_turn(language, {"the <image>?", ""}, true);
                 }),
                 "'<image>' once", "more often");
}
