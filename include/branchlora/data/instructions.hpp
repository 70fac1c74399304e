/// @file
/// Instruction files in the form of LLaVA and CoIN: a JSON list of samples, of which each either
/// holds conversations (training) or a question with its answer (testing).
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/data/located.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/text.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

namespace detail {

inline std::string without_image_mark(std::string text) {
  for (auto at = text.find(image_mark); at != text.npos; at = text.find(image_mark)) {
    text.erase(at, image_mark.size());
  }
  return std::string(trimmed(text));
}

inline std::string read_id(const Located& sample) {
  const Located id = sample.field(sample.has("question_id") ? "question_id" : "id");
  if (id.value.is_number_integer()) return id.value.dump();
  if (!id.value.is_string()) id.refuse("a string or whole number");
  return id.text();
}

inline std::string read_image(const Located& sample) {
  if (!sample.has("image")) return {};
  const Located image = sample.field("image");
  if (image.value.is_string()) return image.text();
  if (!image.value.is_array() || image.value.size() != 1) {
    image.refuse("a string or a list of one string");
  }
  return image.item(0).text();
}

inline std::vector<Turn> read_conversations(const Located& conversations) {
  std::vector<Turn> turns;
  bool answered = true;
  for (std::size_t i = 0; i < conversations.list().value.size(); ++i) {
    const Located line = conversations.item(i);
    const Located from = line.object().field("from", ".");
    const std::string& role = from.text();
    const std::string& text = line.field("value", ".").text();
    if (turns.empty() && role != "human") continue;
    if (role != (answered ? "human" : "gpt")) from.refuse(answered ? "\"human\"" : "\"gpt\"");
    if (answered) {
      turns.push_back({without_image_mark(text), {}});
    } else {
      turns.back().answer = text;
    }
    answered = !answered;
  }
  expect(!turns.empty(), "{}: expected a turn from \"human\", found none", conversations.where);
  expect(answered, "{}: expected an answer from \"gpt\" at the end, found none",
         conversations.where);
  return turns;
}

inline std::vector<double> read_numbers(const Located& list, std::size_t count) {
  if (!list.value.is_array() || list.value.size() != count) {
    list.refuse(fmt::format("a list of {} numbers", count == 4 ? "four" : "two"));
  }
  std::vector<double> numbers;
  for (std::size_t i = 0; i < count; ++i) {
    const Located item = list.item(i);
    if (!item.value.is_number()) item.refuse("a number");
    numbers.push_back(item.value.get<double>());
  }
  return numbers;
}

/// Corners above 1 are pixels of a picture of the given `size`.
inline Box read_box(const Located& sample) {
  const Located box = sample.field("answer_bbox");
  const std::vector<double> corners = read_numbers(box, 4);
  double width = 1;
  double height = 1;
  if (std::ranges::max(corners) > 1) {
    if (!sample.has("size")) box.refuse("fractions from 0 to 1, or pixels and a 'size'");
    const Located size = sample.field("size");
    const std::vector<double> sides = read_numbers(size, 2);
    if (std::ranges::min(sides) <= 0) size.refuse("a width and a height above 0");
    width = sides[0];
    height = sides[1];
  }
  return {corners[0] / width, corners[1] / height, corners[2] / width, corners[3] / height};
}

inline Sample read_sample(const Located& source) {
  Sample sample;
  sample.id = read_id(source.object());
  sample.image = read_image(source);
  if (source.has("conversations")) {
    sample.turns = read_conversations(source.field("conversations"));
    sample.answers = {sample.turns.back().answer};
  } else {
    expect(source.has("text"), "{}: expected 'conversations' or 'text', found neither",
           source.where);
    const Located answer = source.field("answer");
    sample.answers =
        answer.value.is_array() ? answer.texts() : std::vector<std::string>{answer.text()};
    if (sample.answers.empty()) answer.refuse("a string or a list of at least one");
    sample.turns = {{without_image_mark(source.field("text").text()), sample.answers.front()}};
  }
  if (source.has("kind")) sample.kind = source.field("kind").text();
  if (source.has("answer_bbox")) sample.answer_bbox = read_box(source);
  return sample;
}

}  // namespace detail

/// The samples of the instruction file with the content `text`, in its order; `name` stands for the
/// file in messages.
///
/// Training form: `id` or `question_id` (string or integer), `image` (a string, a list of one, or
/// absent), `conversations` of `{"from": "human" | "gpt", "value"}` that alternate; what precedes
/// the first human turn is dropped. Testing form: `text` and `answer` (a string, or the list of all
/// annotators' answers), and where given `kind` and `answer_bbox` (in fractions of the picture, or
/// in pixels beside `size`: width and height). The mark `<image>` is removed
/// from instructions wherever it stands: the model puts the picture first. Other fields are
/// ignored. Throws `Error` naming the file, the sample's index, the field, what was expected and
/// what found.
inline std::vector<Sample> parse_instructions(std::string_view text, const std::string& name) {
  const io::Json json = io::parse_json(text, name);
  const detail::Located root{json, name};
  std::vector<Sample> samples;
  samples.reserve(root.list().value.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    samples.push_back(detail::read_sample({json[i], fmt::format("{}: sample {}", name, i)}));
  }
  return samples;
}

/// The samples of the instruction file `path` (see `parse_instructions`).
inline std::vector<Sample> load_instructions(const std::filesystem::path& path) {
  return parse_instructions(io::read_file(path), path.string());
}

}  // namespace branchlora::data
