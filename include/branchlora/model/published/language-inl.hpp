/// @file
/// The bodies of `language.hpp`.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/text.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/model/published/checkpoint.hpp"
#include "branchlora/model/published/language.hpp"

namespace branchlora::model::published {

BRANCHLORA_INLINE std::string Language::text(std::span<const std::int32_t> answer) const {
  const std::vector<Index> ids(answer.begin(), std::ranges::find_first_of(answer, ends));
  return std::string(data::trimmed(tokenizer.decode(ids, data::SpecialTokens::Omit)));
}

namespace detail {

/// The tokens that a folder says to end a text: `eos_token_id`, one or several.
BRANCHLORA_INLINE std::vector<std::int32_t> read_ends(const std::filesystem::path& folder) {
  for (const char* name : {"generation_config.json", "config.json"}) {
    const auto path = folder / name;
    if (!std::filesystem::exists(path)) continue;
    io::Json config = io::read_json(path);
    if (!config.contains("eos_token_id") && config.contains("text_config")) {
      config = io::Json(config["text_config"]);
    }
    const auto found = config.find("eos_token_id");
    if (found == config.end() || found->is_null()) continue;
    std::vector<std::int32_t> ends;
    for (const io::Json& id : found->is_array() ? *found : io::Json::array({*found})) {
      expect(id.is_number_integer(), "{}: eos_token_id: expected token numbers, found {}",
             path.string(), found->dump());
      ends.push_back(id.get<std::int32_t>());
    }
    return ends;
  }
  return {};
}

/// Takes from a `preprocessor_config.json`, if the folder has one, what it says of pictures.
BRANCHLORA_INLINE void read_preprocessing(const std::filesystem::path& folder,
                                          data::ClipPreprocessing& pictures) {
  const auto path = folder / "preprocessor_config.json";
  if (!std::filesystem::exists(path)) return;
  const io::Json config = io::read_json(path);
  try {
    pictures.mean = config.value("image_mean", pictures.mean);
    pictures.deviation = config.value("image_std", pictures.deviation);
    if (config.value("do_pad", io::Json()) == true) pictures.squaring = data::Squaring::Pad;
    const io::Json crop = config.value("crop_size", io::Json(pictures.size));
    const Index side = crop.is_object() ? crop.at("height").get<Index>() : crop.get<Index>();
    expect(side == pictures.size, "{}: crop_size: expected the tower's {}, found {}", path.string(),
           pictures.size, side);
  } catch (const io::Json::exception& e) {
    fail("{}: how pictures are prepared can not be read: {}", path.string(), e.what());
  }
}

}  // namespace detail

BRANCHLORA_INLINE Language Language::open(const std::filesystem::path& folder,
                                          const Checkpoint& checkpoint,
                                          std::optional<data::Conversation> form) {
  const auto file = folder / "tokenizer.json";
  expect(std::filesystem::exists(file),
         "{}: expected the model's tokenizer.json, found none: transformers writes one when it "
         "saves a fast tokenizer",
         folder.string());
  Language language{.tokenizer = data::BpeTokenizer::load(file)};
  const Index known = checkpoint.config().decoder.vocabulary;
  expect(language.tokenizer.size() <= known,
         "{}: expected tokens for a model that knows {}, found {}", file.string(), known,
         language.tokenizer.size());
  language.conversation = form ? *form : data::guess_conversation(language.tokenizer);
  language.ends = detail::read_ends(folder);
  if (const auto mark = data::end_mark(language.conversation); !mark.empty()) {
    const auto id = language.tokenizer.id(mark);
    expect(id.has_value(), "{}: expected the token '{}', which ends an answer of {}, found none",
           file.string(), mark, data::to_string(language.conversation));
    std::erase(language.ends, static_cast<std::int32_t>(*id));
    language.ends.insert(language.ends.begin(), static_cast<std::int32_t>(*id));
  }
  expect(!language.ends.empty(),
         "{}: expected an eos_token_id in generation_config.json or config.json, found none",
         folder.string());
  language.image_token = checkpoint.image_token();
  language.pictures.size = checkpoint.config().vision.image;
  language.pictures.squaring = checkpoint.squaring();
  if (checkpoint.config().vision.present()) detail::read_preprocessing(folder, language.pictures);
  return language;
}

}  // namespace branchlora::model::published
