/// @file
/// What a run asks of its base model's language: samples as tokens, and tokens as answers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/model/dataset.hpp"
#include "branchlora/model/published/encode.hpp"

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

/// The language of the embedded benchmark: words of a vocabulary, pictures as they are.
class WordLanguage : public Language {
 public:
  explicit WordLanguage(data::Tokenizer tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// Throws `Error` if a sample has a word that is not in the vocabulary.
  model::Dataset encode(std::span<const data::Sample> samples, const std::filesystem::path& folder,
                        std::int32_t task) const override {
    auto set = model::encode(samples, data::ImageStore(folder), tokenizer_, task);
    expect(set.unknown_tokens == 0, "{}: {} tokens are not in the vocabulary", folder.string(),
           set.unknown_tokens);
    return set;
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    return tokenizer_.decode(std::vector<Index>(ids.begin(), ids.end()));
  }

  std::int32_t end() const override { return static_cast<std::int32_t>(data::Tokenizer::end); }

 private:
  data::Tokenizer tokenizer_;
};

/// The language of a published model: its tokenizer, its form of conversation, its way with
/// pictures.
class PublishedLanguage : public Language {
 public:
  /// Turns of more than `longest` text tokens are cut (`Dataset::losses`).
  PublishedLanguage(model::published::Language language, Index longest)
      : language_(std::move(language)), longest_(static_cast<std::size_t>(longest)) {}

  model::Dataset encode(std::span<const data::Sample> samples, const std::filesystem::path& folder,
                        std::int32_t task) const override {
    return model::published::encode(samples, data::ImageStore(folder), language_, task, longest_);
  }

  std::string decode(std::span<const std::int32_t> ids) const override {
    return language_.text(ids);
  }

  std::int32_t end() const override { return language_.end(); }

 private:
  model::published::Language language_;
  std::size_t longest_;
};

}  // namespace branchlora::continual
