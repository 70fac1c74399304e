/// @file
/// The bodies of `base.hpp`.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "branchlora/continual/base.hpp"
#include "branchlora/continual/published_language.hpp"
#include "branchlora/continual/word_language.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/hash.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/tokenizer.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/sharded.hpp"
#include "branchlora/model/published/language.hpp"

namespace branchlora::continual {

namespace detail {

/// A hash of a published model without reading it whole: of its JSON files, and of each tensor its
/// name, type, shape and first bytes.
BRANCHLORA_INLINE std::uint64_t published_hash(const std::filesystem::path& folder) {
  std::string facts;
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "preprocessor_config.json"}) {
    if (std::filesystem::exists(folder / name)) facts += io::read_file(folder / name);
  }
  const auto tensors = io::ShardedTensors::open(folder);
  for (const std::string& name : tensors.names()) {
    const io::TensorView& tensor = tensors.tensor(name);
    const auto first = tensor.bytes.first(std::min<std::size_t>(tensor.bytes.size(), 4096));
    facts +=
        fmt::format("{} {} {}\n", name, io::to_string(tensor.dtype), fmt::join(tensor.shape, " "));
    facts.append(reinterpret_cast<const char*>(first.data()), first.size());
  }
  return hash(facts);
}

}  // namespace detail

BRANCHLORA_INLINE Base Base::open(const std::filesystem::path& checkpoint,
                                  const std::filesystem::path& vocabulary) {
  const auto file = io::SafeTensors::open(checkpoint);
  const auto found = file.metadata().find("model");
  expect(found != file.metadata().end(),
         "{}: expected the model's shape under 'model' in the metadata, found none",
         checkpoint.string());
  const auto json = io::parse_json(found->second, checkpoint.string());
  auto tokenizer = data::Tokenizer::load(vocabulary);
  const Index words = tokenizer.size();
  Base base{checkpoint,
            {},
            std::make_shared<WordLanguage>(std::move(tokenizer)),
            fmt::format("{:016x}", hash(io::read_file(checkpoint)))};
  try {
    base.config = json.get<model::ModelConfig>();
  } catch (const nlohmann::json::exception& e) {
    fail("{}: the model's shape can not be read: {}", checkpoint.string(), e.what());
  }
  expect(base.config.decoder.vocabulary == words, "{}: the model knows {} tokens, but {} has {}",
         checkpoint.string(), base.config.decoder.vocabulary, vocabulary.string(), words);
  return base;
}

BRANCHLORA_INLINE Base Base::open_published(const std::filesystem::path& folder,
                                            const PublishedOptions& options) {
  namespace published = model::published;
  expect(options.longest >= 0, "{}: expected turns of 0 or more tokens, found {}", folder.string(),
         options.longest);
  auto checkpoint = published::Checkpoint::open(folder, {.vision_tower = options.vision_tower});
  auto language = published::Language::open(folder, checkpoint, options.conversation);
  const model::ModelConfig& config = checkpoint.config();
  const Index room = config.decoder.length - (config.vision.present() ? config.vision.tokens() : 0);
  expect(room > 0, "{}: expected positions for text after the {} rows of a picture, found {}",
         folder.string(), config.vision.tokens(), config.decoder.length);
  const Index longest = options.longest > 0 ? std::min(options.longest, room) : room;
  std::uint64_t towers = 0;
  if (!options.vision_tower.empty()) towers = detail::published_hash(options.vision_tower);
  const auto digest = hash(fmt::format("{} {} {} {}", detail::published_hash(folder), towers,
                                       data::to_string(language.conversation), longest));
  return {folder, config, std::make_shared<PublishedLanguage>(std::move(language), longest),
          fmt::format("{:016x}", digest), std::move(checkpoint)};
}

}  // namespace branchlora::continual
