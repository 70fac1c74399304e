/// @file
/// What a data set of image instructions consists of.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

namespace branchlora::data {

/// A box as x0, y0, x1, y1 (left, top, right, bottom), in fractions of the picture.
using Box = std::array<double, 4>;

/// One instruction and the answer wanted. `answer` is what training learns.
struct Turn {
  std::string instruction;
  std::string answer;

  bool operator==(const Turn&) const = default;
};

/// A picture, or none, and the turns about it.
struct Sample {
  std::string id;
  std::string image;  ///< As the file names it (see `ImageStore`); empty for text alone.
  std::vector<Turn> turns;
  std::string kind;                  ///< Type of question, where the file tells it.
  std::vector<std::string> answers;  ///< All that annotators gave for the last turn; at least one.
  std::optional<Box> answer_bbox;    ///< The exact box, where the question asks for one.
};

}  // namespace branchlora::data
