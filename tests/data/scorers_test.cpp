#include "branchlora/data/scorers.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"

using namespace branchlora;
using namespace branchlora::data;
using test::check_mentions;
using test::error_of;

namespace {

Sample with_answers(std::vector<std::string> answers) {
  Sample sample;
  sample.id = "s";
  sample.answers = std::move(answers);
  return sample;
}

}  // namespace

TEST_CASE("names of scorers") {
  for (const char* name : {"option_letter", "exact_match", "soft_vqa", "substring", "iou_0.5"}) {
    CHECK(to_string(parse_scorer(name)) == name);
  }
  check_mentions(error_of([] { parse_scorer("Exact"); }), "exact_match", "found 'Exact'");
}

TEST_CASE("exact match counts tokens, not letters' case or white space") {
  CHECK(exact_match("Top  Left\n", "top left") == 1.0);
  CHECK(exact_match("[0.10,0.20]", "[ 0.10 , 0.20 ]") == 1.0);
  CHECK(exact_match("top", "top left") == 0.0);
  CHECK(exact_match("yes.", "yes") == 0.0);
  CHECK(exact_match("", "yes") == 0.0);
  CHECK(exact_match("topleft", "top left") == 0.0);
}

TEST_CASE("an option letter is found in the usual wordings") {
  for (const char* text :
       {"b", "B", "b.", "(b)", " B) a fox", "b: fox", "(b) fox", "B. fox", "the answer is b",
        "The answer is B.", "Answer: B", "answer: (b)", "option b", "it is option (b), the fox"}) {
    CAPTURE(text);
    CHECK(parse_option_letter(text) == 'b');
  }
  for (const char* text :
       {"", "fox", "a fox", "it is a fox", "the answer is fox", "1", "b 2", "ab", "what about b"}) {
    CAPTURE(text);
    CHECK(parse_option_letter(text) == std::nullopt);
  }
}

TEST_CASE("option letters are compared, not their wording") {
  const Sample sample = with_answers({"b"});
  CHECK(score(Scorer::OptionLetter, "(B) fox", sample) == 1.0);
  CHECK(score(Scorer::OptionLetter, "a", sample) == 0.0);
  CHECK(score(Scorer::OptionLetter, "bus", sample) == 0.0);
  CHECK(score(Scorer::OptionLetter, "", sample) == 0.0);
  check_mentions(error_of([] { score(Scorer::OptionLetter, "b", with_answers({"a fox"})); }),
                 "sample s", "found 'a fox'");
}

TEST_CASE("soft VQA accuracy gives a third for each annotator who agrees") {
  const std::vector<std::string> ten{"red",   "red",  "Red",  "blue", "blue",
                                     "green", "pink", "pink", "pink", "pink"};
  CHECK(soft_vqa_accuracy("red", ten) == 1.0);
  CHECK(soft_vqa_accuracy("pink", ten) == 1.0);
  CHECK(soft_vqa_accuracy("blue", ten) == doctest::Approx(2.0 / 3.0));
  CHECK(soft_vqa_accuracy("green", ten) == doctest::Approx(1.0 / 3.0));
  CHECK(soft_vqa_accuracy("black", ten) == 0.0);
  CHECK(score(Scorer::SoftVqa, "blue", with_answers(ten)) == doctest::Approx(2.0 / 3.0));
  const std::vector<std::string> one{"red"};
  CHECK(soft_vqa_accuracy("RED", one) == 1.0);
  CHECK(soft_vqa_accuracy("reddish", one) == 0.0);
  const std::vector<std::string> two{"red", "blue"};
  CHECK(soft_vqa_accuracy("red", two) == 0.5);
  CHECK(soft_vqa_accuracy("red", {}) == 0.0);
}

TEST_CASE("a substring either way is right, an empty prediction is not") {
  CHECK(substring_match("boot", "ankle boot") == 1.0);
  CHECK(substring_match("It is an Ankle  Boot.", "ankle boot") == 1.0);
  CHECK(substring_match("shirt", "t-shirt") == 1.0);
  CHECK(substring_match("bag", "ankle boot") == 0.0);
  CHECK(substring_match("", "ankle boot") == 0.0);
  CHECK(substring_match(" \n", "ankle boot") == 0.0);
  CHECK(substring_match("boot", "") == 0.0);
  CHECK(score(Scorer::Substring, "boot", with_answers({"bag", "ankle boot"})) == 1.0);
}

TEST_CASE("boxes are parsed whole, however they are written") {
  const Box box{0.12, 0.34, 0.56, 0.78};
  for (const char* text :
       {"[0.12, 0.34, 0.56, 0.78]", "[ 0.12 , 0.34 , 0.56 , 0.78 ]", "0.12,0.34,0.56,0.78",
        "0.12 0.34 0.56 0.78", "[[0.12, 0.34, 0.56, 0.78]]", "box 1: [.12, .34, 0.56, .78] of 2",
        "(x .12; y .34; x 0.56; y .78)"}) {
    CAPTURE(text);
    CHECK(parse_box(text) == box);
  }
  CHECK(parse_box("[0, -1, 1, 2]") == Box{0, -1, 1, 2});
  for (const char* text : {"", "[]", "fox", "[0.1, 0.2, 0.3]", "[0.1, 0.2, 0.3, 0.4, 0.5]",
                           "[nan, inf, 0.1, 0.2]", "[], 0 0 1 1", "x0 = 0.1, 0.2, 0.3, 0.4"}) {
    CAPTURE(text);
    CHECK(parse_box(text) == std::nullopt);
  }
}

TEST_CASE("intersection over union by hand") {
  const Box unit{0, 0, 1, 1};
  CHECK(intersection_over_union(unit, unit) == 1.0);
  CHECK(intersection_over_union(unit, {0.5, 0, 1.5, 1}) == doctest::Approx(1.0 / 3.0));
  CHECK(intersection_over_union(unit, {0, 0, 0.5, 0.5}) == 0.25);
  CHECK(intersection_over_union(unit, {1, 0, 2, 1}) == 0.0);
  CHECK(intersection_over_union(unit, {2, 2, 3, 3}) == 0.0);
  CHECK(intersection_over_union(unit, {0.3, 0.3, 0.3, 0.9}) == 0.0);
  CHECK(intersection_over_union(unit, {1, 1, 0, 0}) == 0.0);
  CHECK(intersection_over_union({0, 0, 0, 0}, {0, 0, 0, 0}) == 0.0);
}

TEST_CASE("grounding wants more than half, and prefers the exact box to the text") {
  Sample sample = with_answers({"[0.00, 0.00, 1.00, 1.00]"});
  CHECK(score(Scorer::Iou, "[0.00, 0.00, 1.00, 0.75]", sample) == 1.0);
  CHECK(score(Scorer::Iou, "[0.00, 0.00, 1.00, 0.50]", sample) == 0.0);  // exactly half
  CHECK(score(Scorer::Iou, "fox", sample) == 0.0);
  sample.answer_bbox = Box{0, 0, 1, 0.5};
  CHECK(score(Scorer::Iou, "[0.00, 0.00, 1.00, 0.50]", sample) == 1.0);
  CHECK(score(Scorer::Iou, "[0.00, 0.00, 1.00, 1.00]", sample) == 0.0);
  check_mentions(error_of([] { score(Scorer::Iou, "[0, 0, 1, 1]", with_answers({"fox"})); }),
                 "sample s", "found 'fox'");
}

// Taking a character off each end of "0.95, ..., 0.05" would leave ".95" and "0.0".
TEST_CASE("the first and last digits of a box count") {
  CHECK(score(Scorer::Iou, "[10, 0, 20, 15]", with_answers({"[10, 0, 20, 15]"})) == 1.0);
  CHECK(score(Scorer::Iou, "[0, 0, 20, 5]", with_answers({"[10, 0, 20, 15]"})) == 0.0);
}
