/// @file
/// The bodies of `word_language.hpp`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "branchlora/continual/word_language.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE model::Dataset WordLanguage::encode(std::span<const data::Sample> samples,
                                                      const std::filesystem::path& folder,
                                                      std::int32_t task) const {
  auto set = model::encode(samples, data::ImageStore(folder), tokenizer_, task);
  expect(set.unknown_tokens == 0, "{}: {} tokens are not in the vocabulary", folder.string(),
         set.unknown_tokens);
  return set;
}

BRANCHLORA_INLINE std::string WordLanguage::decode(std::span<const std::int32_t> ids) const {
  return tokenizer_.decode(std::vector<Index>(ids.begin(), ids.end()));
}

BRANCHLORA_INLINE std::int32_t WordLanguage::end() const {
  return static_cast<std::int32_t>(data::Tokenizer::end);
}

}  // namespace branchlora::continual
