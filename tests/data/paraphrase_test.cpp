#include "branchlora/data/paraphrase.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "../io/temporary_folder.hpp"
#include "branchlora/data/tokenizer.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

TEST_CASE("the fixed wording is replaced by one drawn for each turn") {
  const TaskInfo info{
      "one", Scorer::ExactMatch, "be short.", {"be short.", "be brief.", "briefly."}};
  Sample sample;
  sample.id = "a";
  sample.turns = {{"be short. who? be short.", "me"}, {"be short. why?", "so"}};
  const std::vector<Sample> samples(60, sample);
  const auto found = paraphrased(samples, info, Random(1));
  std::multiset<std::string> firsts;
  for (const Sample& s : found) {
    firsts.insert(s.turns[0].instruction);
    CHECK(s.turns[0].answer == "me");
  }
  for (const std::string& wording : info.paraphrases) {
    CHECK(firsts.count("be short. who? " + wording) > 5);
  }
  CHECK(paraphrased(samples, info, Random(1))[7].turns == found[7].turns);
  CHECK(paraphrased(samples, {"one", Scorer::ExactMatch, "", {}}, Random(1))[0].turns ==
        sample.turns);
  sample.turns[1].instruction = "why?";
  check_mentions(error_of([&] { paraphrased({sample}, info, Random(1)); }), "task one: sample a",
                 "'be short.'", "'why?'");
}

TEST_CASE("MiniCoIN has a 10Type variant of words that its vocabulary knows") {
  const std::filesystem::path pack = BRANCHLORA_SOURCE_DIR "/data/minicoin";
  const auto tokenizer = Tokenizer::load(pack / "vocab.json");
  for (const TaskInfo& info : load_task_infos(pack / "tasks.json")) {
    CAPTURE(info.name);
    const Task original = load_task(pack / info.name);
    const Task task = paraphrased(original, Random(3));
    std::size_t changed = 0;
    for (std::size_t i = 0; i < task.train.size(); ++i) {
      const std::string& text = task.train[i].turns[0].instruction;
      changed += text != original.train[i].turns[0].instruction;
      REQUIRE(Tokenizer::count_unknown(tokenizer.encode(text)) == 0);
    }
    // One of nine wordings is the old one.
    if (info.paraphrases.empty()) CHECK(changed == 0);
    if (!info.paraphrases.empty()) CHECK(changed > task.train.size() * 8 / 10);
  }
}
