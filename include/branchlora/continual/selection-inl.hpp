/// @file
/// The bodies of `selection.hpp`.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "branchlora/continual/selection.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE void fill_rows(AccuracyMatrix& matrix,
                                 const std::vector<std::vector<double>>& scores) {
  for (std::size_t i = 0; i < scores.size(); ++i) {
    expect(i < matrix.shape(0) && scores[i].size() <= matrix.shape(1),
           "scores: expected at most {} rows of at most {}, found row {} of {}", matrix.shape(0),
           matrix.shape(1), i + 1, scores[i].size());
    for (std::size_t j = 0; j < scores[i].size(); ++j) matrix(i, j) = scores[i][j];
  }
}

namespace detail {

BRANCHLORA_INLINE void add_selector(RunConfig& config, const std::string& title, Index bytes) {
  config.json()["selector"] = title;
  config.json()["selector_bytes"] = bytes;
}

}  // namespace detail

}  // namespace branchlora::continual
