/// @file
/// How answers are judged.
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
#include <system_error>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/scorers.hpp"
#include "branchlora/data/split_text.hpp"

namespace branchlora::data {

BRANCHLORA_INLINE Scorer parse_scorer(std::string_view name) {
  for (const Scorer scorer : {Scorer::OptionLetter, Scorer::ExactMatch, Scorer::SoftVqa,
                              Scorer::Substring, Scorer::Iou}) {
    if (to_string(scorer) == name) return scorer;
  }
  fail("expected a scorer option_letter, exact_match, soft_vqa, substring or iou_0.5, found '{}'",
       name);
}

namespace detail {

BRANCHLORA_INLINE std::vector<std::string> lower_tokens(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return split_text(lower);
}

BRANCHLORA_INLINE std::string joined(const std::vector<std::string>& tokens) {
  return fmt::format("{}", fmt::join(tokens, " "));
}

}  // namespace detail

BRANCHLORA_INLINE std::optional<char> parse_option_letter(std::string_view text) {
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

BRANCHLORA_INLINE std::optional<Box> parse_box(std::string_view text) {
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

BRANCHLORA_INLINE double intersection_over_union(const Box& a, const Box& b) {
  const auto area = [](const Box& box) {
    return std::max(0.0, box[2] - box[0]) * std::max(0.0, box[3] - box[1]);
  };
  const Box overlap{std::max(a[0], b[0]), std::max(a[1], b[1]), std::min(a[2], b[2]),
                    std::min(a[3], b[3])};
  if (area(a) <= 0.0 || area(b) <= 0.0) return 0.0;
  return area(overlap) / (area(a) + area(b) - area(overlap));
}

BRANCHLORA_INLINE double exact_match(std::string_view prediction, std::string_view answer) {
  return detail::lower_tokens(prediction) == detail::lower_tokens(answer) ? 1.0 : 0.0;
}

BRANCHLORA_INLINE double soft_vqa_accuracy(std::string_view prediction,
                                           std::span<const std::string> answers) {
  if (answers.empty()) return 0.0;
  double matches = 0.0;
  for (const std::string& answer : answers) matches += exact_match(prediction, answer);
  return std::min(matches / std::min(3.0, static_cast<double>(answers.size())), 1.0);
}

BRANCHLORA_INLINE double substring_match(std::string_view prediction, std::string_view answer) {
  const std::string p = detail::joined(detail::lower_tokens(prediction));
  const std::string a = detail::joined(detail::lower_tokens(answer));
  if (p.empty() || a.empty()) return 0.0;
  return p.find(a) != p.npos || a.find(p) != a.npos ? 1.0 : 0.0;
}

BRANCHLORA_INLINE double score(Scorer scorer, std::string_view prediction, const Sample& sample) {
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
