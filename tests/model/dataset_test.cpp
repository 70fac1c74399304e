#include "branchlora/model/dataset.hpp"

#include <doctest/doctest.h>

#include "../io/temporary_folder.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "model/samples.hpp"

using namespace branchlora;
using namespace branchlora::test;
using Ids = std::vector<std::int32_t>;

namespace {

void write_picture(const TemporaryFolder& folder, const std::string& name, std::uint8_t grey) {
  folder.write(name, png_of({4, 4, std::vector<std::uint8_t>(4 * 4 * 3, grey)}));
}

}  // namespace

TEST_CASE("samples become tokens, each picture once") {
  const TemporaryFolder folder;
  write_picture(folder, "a.png", 10);
  write_picture(folder, "b.png", 20);
  data::ImageStore store(folder.path());
  const data::Tokenizer tokenizer({"what", "is", "it", "?", "cat"});  // 4, 5, 6, 7, 8
  std::vector<data::Sample> samples{
      sample_of("1", "b.png", "what is it ?", "cat"), sample_of("2", "a.png", "it ?", "cat"),
      sample_of("3", "b.png", "it ?", ""), sample_of("4", "", "is it ?", "it")};
  samples[1].turns.push_back({"what ?", "a dog"});
  const model::Dataset set = model::encode(samples, store, tokenizer, 3);
  REQUIRE(set.examples.size() == 4);
  REQUIRE(set.images == std::vector<std::string>{"b.png", "a.png"});
  CHECK(set.unknown_tokens == 2);
  std::vector<Index> images;
  for (const auto& e : set.examples) {
    CHECK(e.task == 3);
    images.push_back(e.image);
  }
  CHECK(images == std::vector<Index>{0, 1, 0, -1});
  CHECK(set.pixels(0) == std::vector<float>(4 * 4 * 3, 20.0F));
  CHECK(set.examples[0].turns[0].prompt == Ids{1, 4, 5, 6, 7});
  CHECK(set.examples[0].turns[0].answer == Ids{8, 2});
  CHECK(set.examples[1].turns[1].answer == Ids{3, 3, 2});
  CHECK(set.examples[2].turns[0].answer == Ids{2});

  const model::Example asked = model::question(set.examples[1]);
  CHECK(asked.image == 1);
  CHECK(asked.task == 3);
  REQUIRE(asked.turns.size() == 1);
  CHECK(asked.turns[0].prompt == Ids{1, 4, 7});
  CHECK(asked.turns[0].answer.empty());
}

TEST_CASE("answers that a maximal length cuts off are counted and named") {
  const TemporaryFolder folder;
  data::ImageStore store(folder.path());
  const data::Tokenizer tokenizer({"what", "is", "it", "?", "cat"});  // 4, 5, 6, 7, 8
  std::vector<data::Sample> samples{
      sample_of("whole", "", "it ?", "cat"), sample_of("short", "", "it ?", "it is it"),
      sample_of("lost", "", "what is it ?", "cat"), sample_of("one", "", "it ?", "cat")};
  samples[3].turns.push_back({"what is it ? it is", "cat"});

  const model::Dataset whole = model::encode(samples, store, tokenizer);
  CHECK(whole.losses().empty());
  CHECK(whole.shortened_answers == 0);

  const model::Dataset set = model::encode(samples, store, tokenizer, 0, 5);
  CHECK(set.shortened_answers == 1);
  CHECK(set.lost == std::vector<std::string>{"lost", "one"});
  CHECK(set.losses() == "2 of 4 samples lose a whole answer at the maximal length: lost, one");
  CHECK(set.examples[0].turns[0].answer == Ids{8, 2});
  CHECK(set.examples[1].turns[0].prompt == Ids{1, 6, 7});
  CHECK(set.examples[1].turns[0].answer == Ids{6, 5});
  CHECK(set.examples[2].turns[0].prompt == Ids{1, 4, 5, 6, 7});
  CHECK(set.examples[2].turns[0].answer.empty());
  CHECK(set.examples[3].turns[1].prompt == Ids{1, 4, 5, 6, 7});
  check_mentions(error_of([&] { model::encode(samples, store, tokenizer, 0, 0); }),
                 "at least one token");

  const std::vector<data::Sample> many(7, samples[2]);
  check_mentions(model::encode(many, store, tokenizer, 0, 4).losses(), "7 of 7 samples",
                 "lost, lost, lost, lost, lost, ...");
}
