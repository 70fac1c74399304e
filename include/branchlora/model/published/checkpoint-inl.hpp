/// @file
/// The bodies of `checkpoint.hpp`.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/model/published/checkpoint.hpp"
#include "branchlora/model/published/llava_config.hpp"
#include "branchlora/model/published/settings.hpp"
#include "branchlora/model/published/weight_files.hpp"

namespace branchlora::model::published {

struct Checkpoint::Json {
  explicit Json(const std::filesystem::path& folder)
      : path((folder / "config.json").string()), json(io::read_json(path)) {}
  Settings settings() const { return {json, path}; }

  std::string path;
  io::Json json;
};

namespace detail {

/// Reads a tensor, which must have `size` numbers.
template <class T>
void read_weight(const WeightFiles& files, const Weight& weight, Index size, std::vector<T>& out) {
  files.read(weight, out);
  expect(std::ssize(out) == size, "{}: tensor '{}': expected {} numbers for '{}', found {}",
         files.path(), weight.tensor, size, weight.parameter, out.size());
}

}  // namespace detail

BRANCHLORA_INLINE Checkpoint Checkpoint::open(const std::filesystem::path& folder,
                                              const OpenOptions& options) {
  Checkpoint checkpoint;
  const Json config(folder);
  const auto type = config.settings().take<std::string>("model_type", "");
  if (type == "llama") {
    checkpoint.open_llama(config, folder);
  } else if (type == "llava" || type == "llava_llama") {
    is_original_llava(config.settings()) ? checkpoint.open_original_llava(config, folder, options)
                                         : checkpoint.open_llava(config, folder);
  } else if (type == "clip" || type == "clip_vision_model") {
    checkpoint.open_clip(
        read_clip_vision(config.settings(), options.vision_layer, "the layer to read"), folder);
  } else {
    fail("{}: model_type: expected llama, llava, llava_llama, clip or clip_vision_model, found {}",
         config.path, type.empty() ? "none" : type);
  }
  return checkpoint;
}

BRANCHLORA_INLINE std::string Checkpoint::module_of(std::string_view layer) const {
  const std::string& tensor = source(std::string(layer) + ".weight").weight.tensor;
  return tensor.substr(0, tensor.size() - std::string_view(".weight").size());
}

BRANCHLORA_INLINE void Checkpoint::open_llama(const Json& config,
                                              const std::filesystem::path& folder) {
  config_.vision.image = 0;
  config_.decoder = read_llama(config.settings());
  const auto files = std::make_shared<const WeightFiles>(folder);
  take(decoder_map(*files, "model.", "lm_head.weight"), files);
}

BRANCHLORA_INLINE void Checkpoint::open_llava(const Json& config,
                                              const std::filesystem::path& folder) {
  const ClipVision vision = take(read_llava(config.settings()));
  const auto files = std::make_shared<const WeightFiles>(folder);
  const std::string decoder =
      files->prefix({"language_model.model.", "model.language_model."}, "embed_tokens.weight");
  WeightMap map = decoder_map(
      *files, decoder,
      decoder.starts_with("model.") ? "lm_head.weight" : "language_model.lm_head.weight");
  map.add_clip(config_.vision, vision.blocks,
               files->prefix({"vision_tower.vision_model.", "vision_tower.",
                              "model.vision_tower.vision_model.", "model.vision_tower."},
                             "embeddings.class_embedding"));
  const std::string projector =
      files->prefix({"multi_modal_projector.", "model.multi_modal_projector."}, "linear_1.weight");
  map.add_projector(config_, projector + "linear_1", projector + "linear_2");
  take(std::move(map), files);
}

BRANCHLORA_INLINE void Checkpoint::open_original_llava(const Json& config,
                                                       const std::filesystem::path& folder,
                                                       const OpenOptions& options) {
  expect(!options.vision_tower.empty(),
         "{}: mm_vision_tower: expected the folder of {} to be given, found none", config.path,
         config.json["mm_vision_tower"].dump());
  const Json tower(options.vision_tower);
  const ClipVision vision = take(read_original_llava(config.settings(), tower.settings()));
  const auto files = std::make_shared<const WeightFiles>(folder);
  WeightMap map = decoder_map(*files, "model.", "lm_head.weight");
  map.add_projector(config_, "model.mm_projector.0", "model.mm_projector.2");
  // A tower that was trained with the language model lies in the checkpoint itself.
  const std::string own = "model.vision_tower.vision_tower.vision_model.";
  if (files->contains(own + "embeddings.class_embedding")) {
    map.add_clip(config_.vision, vision.blocks, own);
  } else {
    open_clip(vision, options.vision_tower);
  }
  take(std::move(map), files);
}

BRANCHLORA_INLINE void Checkpoint::open_clip(const ClipVision& vision,
                                             const std::filesystem::path& folder) {
  config_.vision = vision.config;
  const auto files = std::make_shared<const WeightFiles>(folder);
  WeightMap map;
  map.add_clip(config_.vision, vision.blocks,
               files->prefix({"vision_model.", ""}, "embeddings.class_embedding"));
  map.unread.insert(map.unread.end(),
                    {"text_model.", "text_projection.", "visual_projection.", "logit_scale"});
  take(std::move(map), files);
}

BRANCHLORA_INLINE WeightMap Checkpoint::decoder_map(const WeightFiles& files,
                                                    const std::string& prefix,
                                                    const std::string& head) const {
  WeightMap map;
  map.add_llama(config_.decoder, prefix, head);
  if (config_.decoder.tied && files.contains(head)) {
    files.expect_copy(head, prefix + "embed_tokens.weight", "tie_word_embeddings is true");
    map.unread.push_back(head);
  }
  return map;
}

BRANCHLORA_INLINE ClipVision Checkpoint::take(const Llava& llava) {
  config_.decoder = llava.decoder;
  config_.vision = llava.vision.config;
  image_token_ = llava.image_token;
  squaring_ = llava.squaring;
  return llava.vision;
}

BRANCHLORA_INLINE void Checkpoint::take(WeightMap map,
                                        const std::shared_ptr<const WeightFiles>& files) {
  files->expect_exactly(map);
  for (Weight& weight : map.read) {
    std::string parameter = weight.parameter;
    sources_.emplace(std::move(parameter), Source{std::move(weight), files});
  }
}

BRANCHLORA_INLINE const Checkpoint::Source& Checkpoint::source(const std::string& parameter) const {
  const auto found = sources_.find(parameter);
  expect(found != sources_.end(), "the published checkpoint has no parameter '{}'", parameter);
  return found->second;
}

BRANCHLORA_INLINE void Checkpoint::read(const std::string& parameter, Index size,
                                        std::vector<float>& out) const {
  const Source& from = source(parameter);
  detail::read_weight(*from.files, from.weight, size, out);
}

BRANCHLORA_INLINE void Checkpoint::read(const std::string& parameter, Index size,
                                        std::vector<double>& out) const {
  const Source& from = source(parameter);
  detail::read_weight(*from.files, from.weight, size, out);
}

}  // namespace branchlora::model::published
