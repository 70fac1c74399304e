#include "branchlora/data/instructions.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

std::vector<Sample> load(const std::string& json) {
  const test::TemporaryFolder folder;
  return load_instructions(folder.write("data.json", json));
}

/// A training sample with these conversations.
std::string train(const std::string& conversations) {
  return R"([{"id": "a", "image": "i.png", "conversations": )" + conversations + "}]";
}

/// A test sample with these fields after `question_id`.
std::string test_form(const std::string& fields) {
  return R"([{"question_id": "q", )" + fields + "}]";
}

}  // namespace

TEST_CASE("the training form") {
  const auto samples = load(R"([
    {"id": "a", "image": "images.png#17", "conversations": [
      {"from": "human", "value": "<image>\nwhat is it?\nanswer."},
      {"from": "gpt", "value": "a fox"}]},
    {"question_id": 12, "image": ["b.jpg"], "model": "x", "conversations": [
      {"from": "system", "value": "be kind"}, {"from": "gpt", "value": "hello"},
      {"from": "human", "value": "who?\n<image>"}, {"from": "gpt", "value": "me"},
      {"from": "human", "value": "and\nthen? "}, {"from": "gpt", "value": " you "}]},
    {"id": "c", "conversations": [
      {"from": "human", "value": "left <image> right<image>"}, {"from": "gpt", "value": ""}]}])");
  REQUIRE(samples.size() == 3);
  CHECK(samples[0].id == "a");
  CHECK(samples[0].image == "images.png#17");
  CHECK(samples[0].turns == std::vector<Turn>{{"what is it?\nanswer.", "a fox"}});
  CHECK(samples[0].answers == std::vector<std::string>{"a fox"});
  CHECK(samples[0].kind.empty());
  CHECK_FALSE(samples[0].answer_bbox);
  CHECK(samples[1].id == "12");
  CHECK(samples[1].image == "b.jpg");
  CHECK(samples[1].turns == std::vector<Turn>{{"who?", "me"}, {"and\nthen?", " you "}});
  CHECK(samples[1].answers == std::vector<std::string>{" you "});
  CHECK(samples[2].image.empty());
  CHECK(samples[2].turns == std::vector<Turn>{{"left  right", ""}});
}

TEST_CASE("the test form") {
  const auto samples = load(R"([
    {"question_id": "q", "image": "i.png", "text": "<image>\nwhere?", "answer": "[0, 0, 1, 1]",
     "answer_bbox": [0, 0.25, 1, 0.5], "size": [48, 48], "kind": "color"},
    {"question_id": 3, "text": "how many?", "answer": ["two", "2", "two"]}])");
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].turns == std::vector<Turn>{{"where?", "[0, 0, 1, 1]"}});
  CHECK(samples[0].kind == "color");
  CHECK(samples[0].answer_bbox == Box{0, 0.25, 1, 0.5});
  CHECK(samples[1].id == "3");
  CHECK(samples[1].turns == std::vector<Turn>{{"how many?", "two"}});
  CHECK(samples[1].answers == std::vector<std::string>{"two", "2", "two"});
  CHECK(load("[]").empty());
}

TEST_CASE("a box in pixels becomes fractions of the picture") {
  const auto samples = load(R"([{"question_id": 1, "text": "t", "answer": "a",
    "answer_bbox": [10, 20, 30, 60.0], "size": [40, 80]}])");
  CHECK(samples[0].answer_bbox == Box{0.25, 0.25, 0.75, 0.75});
}

TEST_CASE("what has another form is refused: file, sample, field, expected, found") {
  struct Bad {
    std::string json;
    std::vector<std::string> message;
  };
  const std::string human = R"({"from": "human", "value": "q"})";
  const std::string gpt = R"({"from": "gpt", "value": "a"})";
  const std::vector<Bad> all{
      {"", {"valid JSON"}},
      {"[1,", {"valid JSON"}},
      {train("[" + human + "," + gpt + ",]"), {"valid JSON"}},
      {R"([{"id": "a", "id": "b"}])", {"'id' appears twice"}},
      {"{}", {"expected a list, found object"}},
      {"[1]", {"sample 0: expected an object, found number 1"}},
      {R"([{"id": "a", "text": "t", "answer": "a"}, {"text": "t", "answer": "a"}])",
       {"sample 1: id: expected a value, found none"}},
      {R"([{"id": 1.5, "text": "t", "answer": "a"}])",
       {"sample 0: id: expected a string or whole number, found number 1.5"}},
      {R"([{"id": null, "text": "t", "answer": "a"}])", {"id:", "found null"}},
      {R"([{"id": "a"}])", {"expected 'conversations' or 'text', found neither"}},
      {train("{}"), {"sample 0: conversations: expected a list, found object"}},
      {train("[]"), {"conversations: expected a turn from \"human\", found none"}},
      {train("[" + gpt + "]"), {"expected a turn from \"human\""}},
      {train("[" + human + "]"), {"expected an answer from \"gpt\" at the end"}},
      {train("[" + human + "," + gpt + "," + human + "]"), {"at the end"}},
      {train("[" + human + "," + human + "]"),
       {"conversations[1].from: expected \"gpt\", found string \"human\""}},
      {train("[" + human + "," + gpt + "," + gpt + "]"),
       {"conversations[2].from: expected \"human\", found string \"gpt\""}},
      {train("[1]"), {"conversations[0]: expected an object, found number 1"}},
      {train(R"([{"value": "q"}])"), {"conversations[0].from: expected a value, found none"}},
      {train(R"([{"from": "human"}])"), {"conversations[0].value: expected a value, found none"}},
      {train(R"([{"from": "human", "value": 1}])"),
       {"conversations[0].value: expected a string, found number 1"}},
      {train(R"([{"from": true, "value": "q"}])"), {"from: expected a string, found boolean true"}},
      {test_form(R"("text": "t")"), {"sample 0: answer: expected a value, found none"}},
      {test_form(R"("text": "t", "answer": 1)"), {"answer: expected a string, found number 1"}},
      {test_form(R"("text": "t", "answer": [])"), {"answer: expected a string or a list"}},
      {test_form(R"("text": "t", "answer": ["a", 2])"),
       {"answer[1]: expected a string, found number 2"}},
      {test_form(R"("text": [], "answer": "a")"), {"text: expected a string, found array"}},
      {test_form(R"("text": "t", "answer": "a", "image": 3)"),
       {"image: expected a string or a list of one string, found number 3"}},
      {test_form(R"("text": "t", "answer": "a", "image": ["a", "b"])"), {"image:", "found array"}},
      {test_form(R"("text": "t", "answer": "a", "image": [])"), {"image:"}},
      {test_form(R"("text": "t", "answer": "a", "image": [1])"),
       {"image[0]: expected a string, found number 1"}},
      {test_form(R"("text": "t", "answer": "a", "image": null)"), {"image:", "found null"}},
      {test_form(R"("text": "t", "answer": "a", "kind": 1)"), {"kind: expected a string"}},
      {test_form(R"("text": "t", "answer": "a", "answer_bbox": [0, 0, 1])"),
       {"answer_bbox: expected a list of four numbers"}},
      {test_form(R"("text": "t", "answer": "a", "answer_bbox": [0, 0, 1, "1"])"),
       {"answer_bbox[3]: expected a number, found string \"1\""}},
      {test_form(R"("text": "t", "answer": "a", "answer_bbox": [0, 0, 1, 9])"),
       {"answer_bbox: expected fractions from 0 to 1, or pixels and a 'size'"}},
      {test_form(R"("text": "t", "answer": "a", "answer_bbox": [0, 0, 1, 9], "size": [9])"),
       {"size: expected a list of two numbers"}},
      {test_form(R"("text": "t", "answer": "a", "answer_bbox": [0, 0, 1, 9], "size": [9, 0])"),
       {"size: expected a width and a height above 0"}},
  };
  for (const Bad& bad : all) {
    CAPTURE(bad.json);
    const std::string message = error_of([&] { load(bad.json); });
    check_mentions(message, "data.json");
    for (const std::string& part : bad.message) check_mentions(message, part);
  }
}
