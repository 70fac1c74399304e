#include "branchlora/data/coin.hpp"

#include <doctest/doctest.h>

#include <string>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

/// A CoIN folder of one training and one test sample a task; VQAv2 has `val.json`, as CoIN's.
void write_coin(const test::TemporaryFolder& folder, const std::string& type) {
  for (const CoinTask& task : coin_tasks) {
    const std::string place = "Instructions_" + type + "/" + std::string(task.name) + "/";
    folder.write(place + "train.json", R"([{"id": 1, "image": "./COCO2014/a.jpg", "conversations": [
      {"from": "human", "value": "<image>\nwhat is it?\n)" +
                                           type + R"("},
      {"from": "gpt", "value": "B"}]}])");
    folder.write(place + (task.name == "VQAv2" ? "val.json" : "test.json"),
                 task.name == "Grounding"
                     ? R"([{"question_id": "g", "image": "a.jpg", "text": "where?",
                            "answer": "[0.10, 0.20, 0.30, 0.40]", "size": [100, 200],
                            "answer_bbox": [10, 40, 30, 80]}])"
                     : R"([{"question_id": 7, "image": "a.jpg", "text": "<image>\nwhat?",
                            "answer": "B", "category": "x"}])");
  }
}

}  // namespace

TEST_CASE("a CoIN folder gives eight tasks in order, each with its scorer") {
  const test::TemporaryFolder folder;
  for (const std::string type : {"Original", "Diverse", "10Type"}) {
    CAPTURE(type);
    write_coin(folder, type);
    const auto tasks = load_coin(folder.path(), parse_instruction_type(type));
    REQUIRE(tasks.size() == 8);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      CHECK(tasks[i].info.name == coin_tasks[i].name);
      CHECK(tasks[i].info.scorer == coin_tasks[i].scorer);
      CHECK(tasks[i].folder == folder.path());
      CHECK(tasks[i].train.at(0).turns.at(0).instruction == "what is it?\n" + type);
      const Sample& question = tasks[i].test.at(0);
      CHECK(score(tasks[i].info.scorer, question.answers[0], question) == 1.0);
    }
    CHECK(tasks[1].info.scorer == Scorer::SoftVqa);
    CHECK(tasks[5].test[0].answer_bbox == Box{0.1, 0.2, 0.3, 0.4});
  }
  CHECK(load_coin_task(folder.path(), InstructionType::Diverse, "GQA", "/pictures").folder ==
        "/pictures");
}

TEST_CASE("tasks, types and files that are not there are refused") {
  const test::TemporaryFolder folder;
  const auto load = [&](const char* name) {
    load_coin_task(folder.path(), InstructionType::TenType, name);
  };
  check_mentions(error_of([&] { load("MMMU"); }), "ScienceQA, TextVQA", "found 'MMMU'");
  check_mentions(error_of([&] { load("GQA"); }), "Instructions_10Type/GQA/train.json");
  folder.write("Instructions_10Type/GQA/train.json", "[]");
  check_mentions(error_of([&] { load("GQA"); }), "Instructions_10Type/GQA/test.json");
  check_mentions(error_of([] { parse_instruction_type("original"); }), "Diverse", "'original'");
}
