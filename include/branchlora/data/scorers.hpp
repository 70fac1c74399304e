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

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/split_text.hpp"

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
inline Scorer parse_scorer(std::string_view name) {
  for (const Scorer scorer : {Scorer::OptionLetter, Scorer::ExactMatch, Scorer::SoftVqa,
                              Scorer::Substring, Scorer::Iou}) {
    if (to_string(scorer) == name) return scorer;
  }
  fail("expected a scorer option_letter, exact_match, soft_vqa, substring or iou_0.5, found '{}'",
       name);
}

namespace detail {

inline std::vector<std::string> lower_tokens(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return split_text(lower);
}

inline std::string joined(const std::vector<std::string>& tokens) {
  return fmt::format("{}", fmt::join(tokens, " "));
}

}  // namespace detail

/// The option that `text` names, in lower case: a letter that stands alone at the beginning or
/// after
/// `(`, `:`, `is`, `option`, `answer` or `letter`, and that a word does not follow. So "B", "b.",
/// "(b) fox" and "The answer is B." name b, and "a fox" names none.
inline std::optional<char> parse_option_letter(std::string_view text) {
  const auto tokens = detail::lower_tokens(text);
  const auto is_letter = [](const std::string& t) {
    return t.size() == 1 && detail::is_lower(t[0]);
  };
  const auto is_word = [](const std::string& t) {
    return detail::is_lower(t[0]) || detail::is_digit(t[0]);
  };
  const auto introduces = [](const std::string& t) {
    return t == "(" || t == ":" || t == "is" || t == "option" || t == "answer" || t == "letter";
  };
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (is_letter(tokens[i]) && (i == 0 || introduces(tokens[i - 1])) &&
        (i + 1 == tokens.size() || !is_word(tokens[i + 1]))) {
      return tokens[i][0];
    }
  }
  return std::nullopt;
}

/// The box in `text`: exactly four decimal numbers inside the first pair of square brackets, or in
/// the whole text if there are no brackets. What stands between the numbers does not matter.
inline std::optional<Box> parse_box(std::string_view text) {
  if (const auto open = text.find('['); open != text.npos) {
    text.remove_prefix(open + 1);
    text = text.substr(0, text.find(']'));
  }
  std::vector<double> numbers;
  while (!text.empty()) {
    double number = 0.0;
    const auto [rest, code] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    const auto length = static_cast<std::size_t>(rest - text.data());
    if (code == std::errc() && std::isfinite(number)) numbers.push_back(number);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  if (numbers.size() != 4) return std::nullopt;
  return Box{numbers[0], numbers[1], numbers[2], numbers[3]};
}

/// Intersection over union of two boxes; 0 if either has no area or its corners are swapped.
inline double intersection_over_union(const Box& a, const Box& b) {
  const auto area = [](const Box& box) {
    return std::max(0.0, box[2] - box[0]) * std::max(0.0, box[3] - box[1]);
  };
  const Box overlap{std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]),
                    std::min(a[3], b[3])};
  if (area(a) <= 0.0 || area(b) <= 0.0) return 0.0;
  return area(overlap) / (area(a) + area(b) - area(overlap));
}

/// 1 if both have the same tokens in lower case, else 0.
inline double exact_match(std::string_view prediction, std::string_view answer) {
  return detail::lower_tokens(prediction) == detail::lower_tokens(answer) ? 1.0 : 0.0;
}

/// VQAv2's accuracy, min(matches / 3, 1), where `matches` of `answers` equal the prediction. With
/// fewer than three answers their number takes the place of 3, so one answer makes this an exact
/// match. No further normalisation (articles, number words) is done.
inline double soft_vqa_accuracy(std::string_view prediction, std::span<const std::string> answers) {
  if (answers.empty()) return 0.0;
  double matches = 0.0;
  for (const std::string& answer : answers) matches += exact_match(prediction, answer);
  return std::min(matches / std::min(3.0, static_cast<double>(answers.size())), 1.0);
}

/// 1 if one of the two, in lower case and with single spaces between tokens, contains the other,
/// and neither is empty.
inline double substring_match(std::string_view prediction, std::string_view answer) {
  const std::string p = detail::joined(detail::lower_tokens(prediction));
  const std::string a = detail::joined(detail::lower_tokens(answer));
  if (p.empty() || a.empty()) return 0.0;
  return p.find(a) != p.npos || a.find(p) != a.npos ? 1.0 : 0.0;
}

/// The score of `prediction` on the last turn of `sample`, from 0 to 1: the best over the sample's
/// answers, but for `SoftVqa`, which counts them. `Iou` compares with `answer_bbox` where there is
/// one, else with the box in the answer. Throws `Error` if the sample's own answer has no letter or
/// box; a prediction that has none is wrong.
inline double score(Scorer scorer, std::string_view prediction, const Sample& sample) {
  const auto best = [&sample](auto judge) {
    double highest = 0.0;
    for (const std::string& answer : sample.answers) highest = std::max(highest, judge(answer));
    return highest;
  };
  switch (scorer) {
    case Scorer::SoftVqa:
      return soft_vqa_accuracy(prediction, sample.answers);
    case Scorer::ExactMatch:
      return best([&](const std::string& answer) { return exact_match(prediction, answer); });
    case Scorer::Substring:
      return best([&](const std::string& answer) { return substring_match(prediction, answer); });
    case Scorer::OptionLetter:
      return best([&](const std::string& answer) {
        const auto wanted = parse_option_letter(answer);
        expect(wanted.has_value(),
               "sample {}: expected an answer with an option letter, found '{}'", sample.id,
               answer);
        return parse_option_letter(prediction) == wanted ? 1.0 : 0.0;
      });
    case Scorer::Iou: {
      const auto box = parse_box(prediction);
      const auto overlaps = [&box](const Box& wanted) {
        return box && intersection_over_union(*box, wanted) > 0.5 ? 1.0 : 0.0;
      };
      if (sample.answer_bbox) return overlaps(*sample.answer_bbox);
      return best([&](const std::string& answer) {
        const auto wanted = parse_box(answer);
        expect(wanted.has_value(), "sample {}: expected an answer with a box, found '{}'",
               sample.id, answer);
        return overlaps(*wanted);
      });
    }
  }
  fail("expected a scorer, found number {}", static_cast<int>(scorer));
}

}  // namespace branchlora::data
