#include "branchlora/data/tokenizer.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"
#include "branchlora/data/image_check.hpp"
#include "branchlora/data/instructions.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

TEST_CASE("numbers follow the vocabulary, after four special tokens") {
  const test::TemporaryFolder folder;
  const auto tokenizer = Tokenizer::load(
      folder.write("vocab.json", R"([["the",9],["<image>",4],["0.25",1],["?",1]])"));
  CHECK(tokenizer.size() == 8);
  CHECK(tokenizer.token(Tokenizer::pad) == "<pad>");
  CHECK(tokenizer.token(Tokenizer::begin) == "<s>");
  CHECK(tokenizer.token(Tokenizer::end) == "</s>");
  CHECK(tokenizer.token(Tokenizer::unknown) == "<unk>");
  CHECK(tokenizer.id("the") == 4);
  CHECK(tokenizer.id("<image>") == 5);
  const auto ids = tokenizer.encode("<image>\nthe fox 0.25 The?");
  CHECK(ids == std::vector<Index>{5, 4, 3, 6, 3, 3, 7});  // "The" is "T", "he"
  CHECK(Tokenizer::count_unknown(ids) == 3);
  CHECK(tokenizer.decode(ids) == "<image> the <unk> 0.25 <unk> <unk> ?");
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.decode({}).empty());
}

TEST_CASE("no text can name a special token") {
  const Tokenizer tokenizer({"<", "/", "s", ">", "pad"});
  CHECK(tokenizer.encode("<s></s><pad>") == std::vector<Index>{4, 6, 7, 4, 5, 6, 7, 4, 8, 7});
  CHECK(tokenizer.id("<s>") == Tokenizer::unknown);
}

TEST_CASE("a number without a token is an error") {
  const Tokenizer tokenizer({"a"});
  const std::vector<Index> beyond{5};
  const std::vector<Index> below{-1};
  check_mentions(error_of([&] { tokenizer.decode(beyond); }), "from 0 to 4, found 5");
  check_mentions(error_of([&] { tokenizer.decode(below); }), "found -1");
}

TEST_CASE("a vocabulary of another form is refused, naming file and entry") {
  const test::TemporaryFolder folder;
  const auto refuse = [&](const std::string& json, auto... parts) {
    CAPTURE(json);
    const auto path = folder.write("vocab.json", json);
    check_mentions(error_of([&] { Tokenizer::load(path); }), path.string(), parts...);
  };
  refuse(R"([["a",1],])", "valid JSON");
  refuse(R"([["a",1)", "valid JSON");
  refuse(R"({"a":1})", "expected a list of [token, count], found object");
  refuse(R"([["a",1],["b"]])", "entry 1", "found [\"b\"]");
  refuse(R"([["a",1],"b"])", "entry 1");
  refuse(R"([[1,"a"]])", "entry 0");
  refuse(R"([["a",1.5]])", "entry 0");
  refuse(R"([["a",1],["a",2]])", "entry 1", "'a' appears twice");
  refuse(R"([["two words",1]])", "entry 0", "one token");
  refuse(R"([["",1]])", "entry 0", "one token");
  refuse(R"([["Upper",1]])", "entry 0", "one token");
  refuse(R"([["<unk>",1]])", "entry 0", "one token");
}

// Counts and checksums (CRC-32 of a line of tokens for each instruction and answer) come from the
// regular expression in MiniCoIN's README, run by another implementation.
TEST_CASE("every text of MiniCoIN splits as its README says, into tokens of its vocabulary") {
  struct File {
    const char* name;
    std::size_t samples;
    std::size_t tokens;
    std::uint32_t checksum;
  };
  const std::vector<File> files{
      {"00-pretrain/test.json", 466, 5353, 2138085279U},
      {"00-pretrain/train.json", 12034, 141576, 4241552413U},
      {"01-scienceqa/test.json", 400, 15231, 3240452153U},
      {"01-scienceqa/train.json", 1500, 60793, 4109297701U},
      {"02-textvqa/test.json", 364, 7035, 2567457256U},
      {"02-textvqa/train.json", 1484, 28520, 1475959983U},
      {"03-imagenet/test.json", 400, 6042, 1848547651U},
      {"03-imagenet/train.json", 1500, 22643, 2360190424U},
      {"04-gqa/test.json", 400, 7936, 876758639U},
      {"04-gqa/train.json", 1500, 29792, 2872868473U},
      {"05-vizwiz/test.json", 400, 10545, 1249636310U},
      {"05-vizwiz/train.json", 1500, 39400, 3991096783U},
      {"06-grounding/test.json", 400, 7600, 474248641U},
      {"06-grounding/train.json", 1409, 26771, 1266632733U},
      {"07-vqav2/test.json", 400, 7335, 494974491U},
      {"07-vqav2/train.json", 1500, 27496, 2113614584U},
      {"08-ocrvqa/test.json", 360, 6360, 1809403082U},
      {"08-ocrvqa/train.json", 1374, 24229, 1565158096U},
  };
  const std::filesystem::path pack = BRANCHLORA_SOURCE_DIR "/data/minicoin";
  const auto tokenizer = Tokenizer::load(pack / "vocab.json");
  CHECK(tokenizer.size() == 593);
  for (const File& file : files) {
    CAPTURE(file.name);
    const auto samples = load_instructions(pack / file.name);
    CHECK(samples.size() == file.samples);
    std::string lines;
    std::size_t tokens = 0;
    for (const Sample& sample : samples) {
      for (const std::string& text : {sample.turns[0].instruction, sample.turns[0].answer}) {
        const auto ids = tokenizer.encode(text);
        REQUIRE(Tokenizer::count_unknown(ids) == 0);
        tokens += ids.size();
        lines += tokenizer.decode(ids) + "\n";
        REQUIRE(tokenizer.encode(tokenizer.decode(ids)) == ids);
      }
    }
    CHECK(tokens == file.tokens);
    CHECK(detail::crc32(lines) == file.checksum);
  }
}
