#include "branchlora/continual/published_language.hpp"
#include "branchlora/continual/word_language.hpp"

#include <doctest/doctest.h>

#include "continual/published.hpp"
#include "model/samples.hpp"

using namespace branchlora;
using namespace branchlora::test;
using Ids = std::vector<std::int32_t>;

TEST_CASE("the words of a vocabulary are written and read") {
  const continual::WordLanguage language(data::Tokenizer({"look", "one", "two"}));  // 4, 5, 6
  const data::Sample samples[] = {sample_of("0", "", "look", "two"),
                                  sample_of("1", "sheet.png#3", "look", "one")};
  const auto set = language.encode(samples, "nowhere", 7);
  REQUIRE(set.examples.size() == 2);
  CHECK(set.examples[0].image == -1);
  CHECK(set.examples[1].image == 0);
  CHECK(set.examples[0].task == 7);
  CHECK(set.examples[0].turns[0].prompt == Ids{1, 4});
  CHECK(set.examples[0].turns[0].answer == Ids{6, 2});
  CHECK(set.images == std::vector<std::string>{"sheet.png#3"});
  CHECK(language.end() == 2);
  CHECK(language.decode(Ids{6, 5}) == "two one");
}

TEST_CASE("words that are not in the vocabulary are refused") {
  const continual::WordLanguage language(data::Tokenizer({"look"}));
  const data::Sample samples[] = {sample_of("0", "", "look at this", "look")};
  check_mentions(error_of([&] { language.encode(samples, "the/folder", 0); }), "the/folder",
                 "2 tokens");
}

TEST_CASE("a published model's language is its tokenizer's") {
  const GoldenCopy copy("llama-tied");
  const auto base = copy.open();
  const data::Sample samples[] = {sample_of("0", "", "ab", "c"), sample_of("1", "", "ba", "cab")};
  const auto set = base.language->encode(samples, "nowhere", 3);
  REQUIRE(set.examples.size() == 2);
  // <s>, the blank (with an "a" one token), letters, the line feed that ends a plain instruction.
  CHECK(set.examples[0].turns[0].prompt == Ids{1, 39, 6, 4});
  CHECK(set.examples[0].turns[0].answer == Ids{7, 2});
  CHECK(set.examples[1].turns[0].prompt == Ids{1, 3, 6, 5, 4});
  CHECK(set.examples[1].turns[0].answer == Ids{7, 5, 6, 2});
  CHECK(set.examples[1].task == 3);
  CHECK(base.language->end() == 2);
  CHECK(base.language->decode(Ids{3, 7, 5, 6}) == "cab");
  CHECK(set.losses().empty());
}

TEST_CASE("turns are cut at the longest that is asked for, or that there is room for") {
  const data::Sample samples[] = {sample_of("short", "", "ab", "c"),
                                  sample_of("long", "", std::string(80, 'a'), "c")};
  const auto tokens = [&](const char* model, Index longest) {
    const GoldenCopy copy(model);
    const auto set =
        copy.open(data::Conversation::Plain, longest).language->encode(samples, "nowhere", 0);
    check_mentions(set.losses(), "1 of 2", "long");
    return std::ssize(set.examples[1].turns[0].prompt);
  };
  CHECK(tokens("llama-tied", 0) == 64);  // its positions
  CHECK(tokens("llama-tied", 20) == 20);
  CHECK(tokens("llama-tied", 100) == 64);
  CHECK(tokens("llava", 0) == 48);  // 16 are a picture's
  check_mentions(error_of([] { GoldenCopy("llama-tied").open(data::Conversation::Plain, -1); }),
                 "-1");
}

TEST_CASE("pictures are what the vision tower takes, and stand where the mark is") {
  const GoldenCopy copy("llava");
  const auto base = copy.open();
  const std::string picture = "landscape.png";
  const auto folder = golden_model("../clip_images");
  const data::Sample samples[] = {sample_of("0", picture, "a", "b")};
  const auto set = base.language->encode(samples, folder, 0);
  CHECK(set.examples[0].image == 0);
  CHECK(set.examples[0].image_at > 0);
  const data::ClipPreprocessing how{.size = 16, .squaring = base.published->squaring()};
  CHECK(set.pixels(0) == data::clip_pixels(data::load_image(folder / picture), how));
}
