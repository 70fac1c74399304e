/// @file
/// The language of the embedded benchmark.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "branchlora/continual/language.hpp"
#include "branchlora/data/tokenizer.hpp"

namespace branchlora::continual {

/// The language of the embedded benchmark: words of a vocabulary, pictures as they are.
class WordLanguage : public Language {
 public:
  explicit WordLanguage(data::Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// Throws `Error` if a sample has a word that is not in the vocabulary.
  model::Dataset encode(std::span<const data::Sample> samples, const std::filesystem::path& folder,
                        std::int32_t task) const override;

  std::string decode(std::span<const std::int32_t> ids) const override;

  std::int32_t end() const override;

 private:
  data::Tokenizer tokenizer_;
};

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/word_language-inl.hpp"
#endif
