/// @file
/// The bodies of `published_language.hpp`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "branchlora/continual/published_language.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/image.hpp"
#include "branchlora/data/sample.hpp"
#include "branchlora/model/published/encode.hpp"

namespace branchlora::continual {

BRANCHLORA_INLINE PublishedLanguage::PublishedLanguage(model::published::Language language,
                                                       Index longest)
    : language_(std::move(language)), longest_(static_cast<std::size_t>(longest)) {}

BRANCHLORA_INLINE model::Dataset PublishedLanguage::encode(std::span<const data::Sample> samples,
                                                           const std::filesystem::path& folder,
                                                           std::int32_t task) const {
  return model::published::encode(samples, data::ImageStore(folder), language_, task, longest_);
}

BRANCHLORA_INLINE std::string PublishedLanguage::decode(std::span<const std::int32_t> ids) const {
  return language_.text(ids);
}

BRANCHLORA_INLINE std::int32_t PublishedLanguage::end() const { return language_.end(); }

}  // namespace branchlora::continual
