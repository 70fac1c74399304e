/// @file
/// How an answer is judged: the scorers of CoIN (Chen et al., "CoIN: a benchmark of continual
/// instruction tuning for multimodal large language models", 2024), each a number from 0 to 1.
///
/// Two defects of CoIN's published code are not reproduced, so scores can differ from it:
/// - its ImageNet scorer (`substring`) finds the empty prediction in every answer and calls it
///   right; here an empty prediction is wrong;
/// - its grounding scorer (`iou_0.5`) strips the brackets of a box and then cuts off one more
///   character at either end, so that the first and last number lose digits; here boxes are parsed.
///
/// Answers are compared token by token (`split_text`) in lower case, so white space does not count.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "branchlora/data/sample.hpp"

namespace branchlora::data {

/// The ways to judge an answer.
enum class Scorer {
  OptionLetter,  ///< The letter of the chosen option (ScienceQA).
  ExactMatch,    ///< The same tokens (VizWiz, VQAv2 and OCR-VQA in CoIN).
  SoftVqa,       ///< Credit by the number of annotators who agree (TextVQA).
  Substring,     ///< Prediction within answer or answer within prediction (ImageNet).
  Iou,           ///< Boxes that overlap by more than half (grounding).
};

/// The name that task files use.
constexpr std::string_view to_string(Scorer scorer) {
  switch (scorer) {
    case Scorer::OptionLetter:
      return "option_letter";
    case Scorer::ExactMatch:
      return "exact_match";
    case Scorer::SoftVqa:
      return "soft_vqa";
    case Scorer::Substring:
      return "substring";
    case Scorer::Iou:
      return "iou_0.5";
  }
  return "unknown";
}

/// The scorer of that name. Throws `Error` listing the names.
Scorer parse_scorer(std::string_view name);

/// The option that `text` names, in lower case: a letter that stands alone at the beginning or
/// after
/// `(`, `:`, `is`, `option`, `answer` or `letter`, and that a word does not follow. So "B", "b.",
/// "(b) fox" and "The answer is B." name b, and "a fox" names none.
std::optional<char> parse_option_letter(std::string_view text);

/// The box in `text`: exactly four decimal numbers inside the first pair of square brackets, or in
/// the whole text if there are no brackets. What stands between the numbers does not matter.
std::optional<Box> parse_box(std::string_view text);

/// Intersection over union of two boxes; 0 if either has no area or its corners are swapped.
double intersection_over_union(const Box& a, const Box& b);

/// 1 if both have the same tokens in lower case, else 0.
double exact_match(std::string_view prediction, std::string_view answer);

/// VQAv2's accuracy, min(matches / 3, 1), where `matches` of `answers` equal the prediction. With
/// fewer than three answers their number takes the place of 3, so one answer makes this an exact
/// match. No further normalisation (articles, number words) is done.
double soft_vqa_accuracy(std::string_view prediction, std::span<const std::string> answers);

/// 1 if one of the two, in lower case and with single spaces between tokens, contains the other,
/// and neither is empty.
double substring_match(std::string_view prediction, std::string_view answer);

/// The score of `prediction` on the last turn of `sample`, from 0 to 1: the best over the sample's
/// answers, but for `SoftVqa`, which counts them. `Iou` compares with `answer_bbox` where there is
/// one, else with the box in the answer. Throws `Error` if the sample's own answer has no letter or
/// box; a prediction that has none is wrong.
double score(Scorer scorer, std::string_view prediction, const Sample& sample);

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/scorers-inl.hpp"
#endif
