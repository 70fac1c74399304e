/// @file
/// A published model's language, as a run asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "branchlora/continual/language.hpp"
#include "branchlora/model/published/language.hpp"

namespace branchlora::continual {

/// The language of a published model: its tokenizer, its form of conversation, its way with
/// pictures.
class PublishedLanguage : public Language {
 public:
  /// Turns of more than `longest` text tokens are cut (`Dataset::losses`).
  PublishedLanguage(model::published::Language language, Index longest);

  model::Dataset encode(std::span<const data::Sample> samples, const std::filesystem::path& folder,
                        std::int32_t task) const override;

  std::string decode(std::span<const std::int32_t> ids) const override;

  std::int32_t end() const override;

 private:
  model::published::Language language_;
  std::size_t longest_;
};

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/published_language-inl.hpp"
#endif
