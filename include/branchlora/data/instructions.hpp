/// @file
/// Instruction files in the form of LLaVA and CoIN: a JSON list of samples, of which each either
/// holds conversations (training) or a question with its answer (testing).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/data/sample.hpp"

namespace branchlora::data {

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
std::vector<Sample> parse_instructions(std::string_view text, const std::string& name);

/// The samples of the instruction file `path` (see `parse_instructions`).
std::vector<Sample> load_instructions(const std::filesystem::path& path);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/instructions-inl.hpp"
#endif
