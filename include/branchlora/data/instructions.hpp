/// @file
/// Instruction files in the form of LLaVA and CoIN: a JSON list of samples, of which each either
/// holds conversations (training) or a question with its answer (testing).
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

namespace detail {

using io::Json;

/// A value of an instruction file and the way to it: `train.json: sample 3: conversations[1].from`.
struct Located {
  const Json& value;
  std::string where;

  [[noreturn]] void refuse(std::string_view expected) const {
    fail("{}: expected {}, found {}", where, expected, describe());
  }

  bool has(const char* key) const { return value.contains(key); }

  Located field(const char* key, const char* separator = ": ") const {
    const auto found = value.find(key);
    expect(found != value.end(), "{}{}{}: expected a value, found none", where, separator, key);
    return {*found, where + separator + key};
  }

  Located item(std::size_t i) const { return {value[i], where + fmt::format("[{}]", i)}; }

  const Located& object() const {
    if (!value.is_object()) refuse("an object");
    return *this;
  }

  const Located& list() const {
    if (!value.is_array()) refuse("a list");
    return *this;
  }

  const std::string& text() const {
    if (!value.is_string()) refuse("a string");
    return value.get_ref<const std::string&>();
  }

  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < list().value.size(); ++i) all.push_back(item(i).text());
    return all;
  }

 private:
  std::string describe() const {
    if (value.is_object() || value.is_array()) return value.type_name();
    return value.is_null() ? "null" : std::string(value.type_name()) + " " + value.dump();
  }
};

inline std::string without_image_mark(std::string text) {
  constexpr std::string_view mark = "<image>";
  for (auto at = text.find(mark); at != text.npos; at = text.find(mark)) {
    text.erase(at, mark.size());
  }
  constexpr std::string_view blank = " \t\r\n";
  text.erase(0, text.find_first_not_of(blank));
  text.erase(text.find_last_not_of(blank) + 1);
  return text;
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

inline Box read_box(const Located& box) {
  if (!box.value.is_array() || box.value.size() != 4) box.refuse("a list of four numbers");
  Box corners{};
  for (std::size_t i = 0; i < 4; ++i) {
    const Located corner = box.item(i);
    if (!corner.value.is_number()) corner.refuse("a number");
    corners[i] = corner.value.get<double>();
  }
  return corners;
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
  if (source.has("answer_bbox")) sample.answer_bbox = read_box(source.field("answer_bbox"));
  return sample;
}

}  // namespace detail

/// The samples of the instruction file `path`, in its order.
///
/// Training form: `id` or `question_id` (string or integer), `image` (a string, a list of one, or
/// absent), `conversations` of `{"from": "human" | "gpt", "value"}` that alternate; what precedes
/// the first human turn is dropped. Testing form: `text` and `answer` (a string, or the list of all
/// annotators' answers), and where given `answer_bbox` and `kind`. The mark `<image>` is removed
/// from instructions wherever it stands: the model puts the picture first. Other fields are
/// ignored. Throws `Error` naming the file, the sample's index, the field, what was expected and
/// what found.
inline std::vector<Sample> load_instructions(const std::filesystem::path& path) {
  const io::Json json = io::read_json(path);
  const detail::Located root{json, path.string()};
  std::vector<Sample> samples;
  samples.reserve(root.list().value.size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    samples.push_back(
        detail::read_sample({json[i], fmt::format("{}: sample {}", path.string(), i)}));
  }
  return samples;
}

}  // namespace branchlora::data
