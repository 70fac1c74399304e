/// @file
/// How instruction files are read.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/instructions.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/text.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/located.hpp"

namespace branchlora::data {

namespace detail {

using io::Located;

BRANCHLORA_INLINE std::string without_image_mark(std::string text) {
  for (auto at = text.find(image_mark); at != text.npos; at = text.find(image_mark)) {
    text.erase(at, image_mark.size());
  }
  return std::string(trimmed(text));
}

BRANCHLORA_INLINE std::string read_id(const Located& sample) {
  const Located id = sample.field(sample.has("question_id") ? "question_id" : "id");
  if (id.value.is_number_integer()) return id.value.dump();
  if (!id.value.is_string()) id.refuse("a string or whole number");
  return id.text();
}

BRANCHLORA_INLINE std::string read_image(const Located& sample) {
  if (!sample.has("image")) return {};
  const Located image = sample.field("image");
  if (image.value.is_string()) return image.text();
  if (!image.value.is_array() || image.value.size() != 1) {
    image.refuse("a string or a list of one string");
  }
  return image.item(0).text();
}

BRANCHLORA_INLINE std::vector<Turn> read_conversations(const Located& conversations) {
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

BRANCHLORA_INLINE std::vector<double> read_numbers(const Located& list, std::size_t count) {
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
BRANCHLORA_INLINE Box read_box(const Located& sample) {
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

BRANCHLORA_INLINE Sample read_sample(const Located& source) {
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

BRANCHLORA_INLINE std::vector<Sample> parse_instructions(std::string_view text,
                                                         const std::string& name) {
  const io::Json json = io::parse_json(text, name);
  const io::Located root{json, name};
  std::vector<Sample> samples;
  samples.reserve(root.list().value.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    samples.push_back(detail::read_sample({json[i], fmt::format("{}: sample {}", name, i)}));
  }
  return samples;
}

BRANCHLORA_INLINE std::vector<Sample> load_instructions(const std::filesystem::path& path) {
  return parse_instructions(io::read_file(path), path.string());
}

}  // namespace branchlora::data
