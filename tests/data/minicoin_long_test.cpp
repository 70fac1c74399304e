// What data/minicoin-long promises of its 24 tasks.
#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/hash.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/task.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/io/json.hpp"

using namespace branchlora;
using namespace branchlora::data;

namespace {

const std::filesystem::path pack = BRANCHLORA_SOURCE_DIR "/data/minicoin-long";

/// Hashes of the pictures that samples name.
std::set<std::uint64_t> pictures(ImageStore& store, const std::vector<Sample>& samples) {
  std::set<std::uint64_t> found;
  for (const Sample& sample : samples) {
    const Image image = store.load(sample.image);
    REQUIRE(image.width == 48);
    found.insert(hash({reinterpret_cast<const char*>(image.rgb.data()), image.rgb.size()}));
  }
  return found;
}

}  // namespace

TEST_CASE("MiniCoIN-Long has 24 tasks that say nothing which the base model does not know") {
  const auto tokenizer = Tokenizer::load(BRANCHLORA_SOURCE_DIR "/data/pretrain/vocab.json");
  const auto infos = load_task_infos(pack / "tasks.json");
  CHECK(infos.size() == 24);
  for (const TaskInfo& info : infos) {
    CAPTURE(info.name);
    const Task task = load_task(pack / info.name);
    CHECK(info.scorer == Scorer::ExactMatch);
    CHECK(info.suffix == infos.front().suffix);
    CHECK(task.train.size() == 576);
    CHECK(task.test.size() == 150);
    for (const auto* split : {&task.train, &task.test}) {
      std::set<std::pair<std::string, std::string>> asked;
      for (const Sample& sample : *split) {
        const auto& [question, answer] = sample.turns.at(0);
        REQUIRE(question.ends_with(info.suffix));
        REQUIRE_FALSE(answer.empty());
        REQUIRE(Tokenizer::count_unknown(tokenizer.encode(question)) == 0);
        REQUIRE(Tokenizer::count_unknown(tokenizer.encode(answer)) == 0);
        asked.emplace(sample.image, question);
      }
      CHECK(asked.size() == split->size());  // nothing is asked twice of a picture
    }
  }
}

TEST_CASE("tasks of MiniCoIN-Long return and are composed after those that they build on") {
  std::set<std::string> earlier;
  int returning = 0;
  int composed = 0;
  for (const io::Json& info : io::read_json(pack / "tasks.json")) {
    if (!info["returns"].is_null()) {
      ++returning;
      CHECK(earlier.contains(info["returns"].get<std::string>()));
    }
    if (!info["composed"].empty()) {
      ++composed;
      CHECK(info["composed"].size() == 2);
      for (const io::Json& part : info["composed"])
        CHECK(earlier.contains(part.get<std::string>()));
    }
    earlier.insert(info["name"].get<std::string>());
  }
  CHECK(returning == 4);
  CHECK(composed == 3);
}

TEST_CASE("no picture of a test of MiniCoIN-Long is one that any of its tasks trains on") {
  std::set<std::uint64_t> train;
  std::set<std::uint64_t> test;
  for (const TaskInfo& info : load_task_infos(pack / "tasks.json")) {
    const Task task = load_task(pack / info.name);
    ImageStore store(task.folder);
    train.merge(pictures(store, task.train));
    test.merge(pictures(store, task.test));
  }
  CHECK(train.size() > 10000);
  CHECK(test.size() > 3000);
  for (const std::uint64_t picture : test) REQUIRE_FALSE(train.contains(picture));
}
