#include "branchlora/data/task.hpp"

#include <doctest/doctest.h>

#include <string>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

const std::string one_sample = R"([{"id": 1, "text": "t", "answer": "a"}])";

}  // namespace

TEST_CASE("a task is its folder, and what tasks.json says of it") {
  const test::TemporaryFolder folder;
  folder.write("one/train.json", one_sample);
  folder.write("one/test.json", "[]");
  CHECK(load_task(folder.path() / "one").info.name == "one");
  CHECK(load_task(folder.path() / "one").info.scorer == Scorer::ExactMatch);

  folder.write("tasks.json", R"([
    {"name": "zero", "scorer": "iou_0.5", "suffix": null, "paraphrases": []},
    {"name": "one", "scorer": "soft_vqa", "suffix": "be short.", "paraphrases": ["a", "b"],
     "x": 1}])");
  const Task task = load_task(folder.path() / "one" / "");
  CHECK(task.info.name == "one");
  CHECK(task.info.scorer == Scorer::SoftVqa);
  CHECK(task.info.suffix == "be short.");
  CHECK(task.info.paraphrases == std::vector<std::string>{"a", "b"});
  CHECK(task.train.size() == 1);
  CHECK(task.test.empty());
}

TEST_CASE("a task that is incomplete or not listed is refused") {
  const test::TemporaryFolder folder;
  folder.write("one/train.json", one_sample);
  check_mentions(error_of([&] { load_task(folder.path() / "one"); }), "one/test.json");
  folder.write("one/test.json", one_sample);
  const auto refuse = [&](const std::string& tasks, auto... parts) {
    folder.write("tasks.json", tasks);
    check_mentions(error_of([&] { load_task(folder.path() / "one"); }), "tasks.json", parts...);
  };
  refuse("[]", "expected a task 'one'");
  refuse("{}", "expected a list");
  refuse(R"([{"scorer": "soft_vqa"}])", "task 0: name: expected a value, found none");
  refuse(R"([{"name": "one", "scorer": "bleu"}])", "task 0: scorer", "found 'bleu'");
  refuse(R"([{"name": "one", "scorer": "soft_vqa", "suffix": 1}])", "suffix: expected a string");
  refuse(R"([{"name": "one", "scorer": "soft_vqa", "suffix": "", "paraphrases": [1]}])",
         "paraphrases[0]: expected a string");
}

TEST_CASE("MiniCoIN's tasks load, and each scorer gives their own answers full marks") {
  const std::filesystem::path pack = BRANCHLORA_SOURCE_DIR "/data/minicoin";
  const auto infos = load_task_infos(pack / "tasks.json");
  CHECK(infos.size() == 9);
  for (const TaskInfo& info : infos) {
    CAPTURE(info.name);
    const Task task = load_task(pack / info.name);
    CHECK(task.info.scorer == info.scorer);
    CHECK(task.train.size() >= 1300);
    CHECK(task.test.size() >= 360);
    double total = 0.0;
    for (const Sample& sample : task.test) {
      REQUIRE(sample.turns.size() == 1);
      REQUIRE_FALSE(sample.turns[0].answer.empty());
      if (info.name != "00-pretrain") {
        REQUIRE_FALSE(sample.kind.empty());
        REQUIRE(sample.turns[0].instruction.find(info.suffix) != std::string::npos);
      }
      REQUIRE(sample.answer_bbox.has_value() == (info.scorer == Scorer::Iou));
      total += score(info.scorer, sample.turns[0].answer, sample);
    }
    CHECK(total == static_cast<double>(task.test.size()));
  }
}
