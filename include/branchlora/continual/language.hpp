/// @file
/// What a run asks of its base model's language: samples as tokens, and tokens as answers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "branchlora/model/dataset.hpp"

namespace branchlora::continual {

/// How a base model reads and writes. Safe for several threads at a time.
class Language {
 public:
  Language() = default;
  Language(const Language&) = delete;
  Language& operator=(const Language&) = delete;
  virtual ~Language() = default;

  /// Samples as tokens, each as one of task `task`. Their pictures lie below `folder` and are read
  /// when the data set is asked for their pixels.
  virtual model::Dataset encode(std::span<const data::Sample> samples,
                                const std::filesystem::path& folder, std::int32_t task) const = 0;
  /// The answer that tokens spell.
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  /// The token that ends an answer.
  virtual std::int32_t end() const = 0;
};

}  // namespace branchlora::continual
