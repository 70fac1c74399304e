/// @file
/// Published checkpoints in the folders in which they are distributed: `config.json` and
/// safetensors of a LLaMA, a LLaVA-1.5 or a CLIP.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/data/clip_image.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/model/published/llava_config.hpp"
#include "branchlora/model/published/weight_files.hpp"

namespace branchlora::model::published {

/// What opening a checkpoint needs to be told.
struct OpenOptions {
  /// The folder of the CLIP that an original LLaVA names in `mm_vision_tower`: a name is never used
  /// as a path.
  std::filesystem::path vision_tower{};
  Index vision_layer = -2;  ///< The hidden state to read of a CLIP that is opened by itself.
};

/// A checkpoint whose settings are understood and whose tensors are all there. It is mapped:
/// opening it reads headers alone, `load` each tensor once.
///
///     const auto checkpoint = published::Checkpoint::open("vicuna-7b-v1.5");
///     model::Multimodal<B> model(backend, checkpoint.config());
///     checkpoint.load(model.parameters());
class Checkpoint {
 public:
  /// Opens `folder` by the model type that its `config.json` names: `llama` (the model has no tower
  /// and reads text alone), `llava` or `llava_llama` (either layout), `clip_vision_model` or `clip`
  /// (the tower alone: `config().decoder` says nothing). Throws `Error` naming file and setting or
  /// tensor, what was expected and what was found.
  static Checkpoint open(const std::filesystem::path& folder, const OpenOptions& options = {}) {
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
      fail(
          "{}: model_type: expected llama, llava, llava_llama, clip or clip_vision_model, found {}",
          config.path, type.empty() ? "none" : type);
    }
    return checkpoint;
  }

  /// The sizes of the model. A LLaMA's has no vision tower.
  const ModelConfig& config() const { return config_; }
  /// What stands for the picture in the token ids of a LLaVA's prompt.
  std::int32_t image_token() const { return image_token_; }
  /// How a LLaVA wants pictures to become square.
  data::Squaring squaring() const { return squaring_; }

  /// The path in the published model of the linear layer that is called `layer` here: what PEFT
  /// calls the module. "decoder.block.0.q" is "model.layers.0.self_attn.q_proj" in a LLaMA.
  std::string module_of(std::string_view layer) const {
    const std::string& tensor = source(std::string(layer) + ".weight").weight.tensor;
    return tensor.substr(0, tensor.size() - std::string_view(".weight").size());
  }

  /// Reads the value of every parameter from its tensor. Throws `Error` naming a parameter that the
  /// checkpoint does not have, or has in another size.
  template <Backend B>
  void load(ParameterSet<B>& parameters) const {
    using T = typename B::Scalar;
    std::vector<T> host;
    for (auto& p : parameters) {
      expect_present(p);
      const Source& from = source(p.name);
      from.files->read(from.weight, host);
      expect(std::ssize(host) == p.value.size(),
             "{}: tensor '{}': expected {} numbers for '{}', found {}", from.files->path(),
             from.weight.tensor, p.value.size(), p.name, host.size());
      parameters.backend().upload(p.value.data, host.data(), host.size() * sizeof(T));
    }
  }

 private:
  /// A `config.json`.
  struct Json {
    explicit Json(const std::filesystem::path& folder)
        : path((folder / "config.json").string()), json(io::read_json(path)) {}
    Settings settings() const { return {json, path}; }

    std::string path;
    io::Json json;
  };

  struct Source {
    Weight weight;
    std::shared_ptr<const WeightFiles> files;
  };

  void open_llama(const Json& config, const std::filesystem::path& folder) {
    config_.vision.image = 0;
    config_.decoder = read_llama(config.settings());
    const auto files = std::make_shared<const WeightFiles>(folder);
    take(decoder_map(*files, "model.", "lm_head.weight"), files);
  }

  void open_llava(const Json& config, const std::filesystem::path& folder) {
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
    const std::string projector = files->prefix(
        {"multi_modal_projector.", "model.multi_modal_projector."}, "linear_1.weight");
    map.add_projector(config_, projector + "linear_1", projector + "linear_2");
    take(std::move(map), files);
  }

  void open_original_llava(const Json& config, const std::filesystem::path& folder,
                           const OpenOptions& options) {
    expect(!options.vision_tower.empty(),
           "{}: mm_vision_tower: expected the folder of {} to be given, found none", config.path,
           config.json["mm_vision_tower"].dump());
    const Json tower(options.vision_tower);
    const ClipVision vision = take(read_original_llava(config.settings(), tower.settings()));
    const auto files = std::make_shared<const WeightFiles>(folder);
    WeightMap map = decoder_map(*files, "model.", "lm_head.weight");
    map.add_projector(config_, "model.mm_projector.0", "model.mm_projector.2");
    // A tower that was trained along lies in the checkpoint itself.
    const std::string own = "model.vision_tower.vision_tower.vision_model.";
    if (files->contains(own + "embeddings.class_embedding")) {
      map.add_clip(config_.vision, vision.blocks, own);
    } else {
      open_clip(vision, options.vision_tower);
    }
    take(std::move(map), files);
  }

  void open_clip(const ClipVision& vision, const std::filesystem::path& folder) {
    config_.vision = vision.config;
    const auto files = std::make_shared<const WeightFiles>(folder);
    WeightMap map;
    map.add_clip(config_.vision, vision.blocks,
                 files->prefix({"vision_model.", ""}, "embeddings.class_embedding"));
    map.unread.insert(map.unread.end(),
                      {"text_model.", "text_projection.", "visual_projection.", "logit_scale"});
    take(std::move(map), files);
  }

  /// The decoder's part of a map. A tied one may keep a copy of its embeddings as output layer.
  WeightMap decoder_map(const WeightFiles& files, const std::string& prefix,
                        const std::string& head) const {
    WeightMap map;
    map.add_llama(config_.decoder, prefix, head);
    if (config_.decoder.tied && files.contains(head)) {
      files.expect_copy(head, prefix + "embed_tokens.weight", "tie_word_embeddings is true");
      map.unread.push_back(head);
    }
    return map;
  }

  ClipVision take(const Llava& llava) {
    config_.decoder = llava.decoder;
    config_.vision = llava.vision.config;
    image_token_ = llava.image_token;
    squaring_ = llava.squaring;
    return llava.vision;
  }

  void take(WeightMap map, const std::shared_ptr<const WeightFiles>& files) {
    files->expect_exactly(map);
    for (Weight& weight : map.read) {
      std::string parameter = weight.parameter;
      sources_.emplace(std::move(parameter), Source{std::move(weight), files});
    }
  }

  const Source& source(const std::string& parameter) const {
    const auto found = sources_.find(parameter);
    expect(found != sources_.end(), "the published checkpoint has no parameter '{}'", parameter);
    return found->second;
  }

  ModelConfig config_;
  std::int32_t image_token_ = -200;
  data::Squaring squaring_ = data::Squaring::CentreCrop;
  std::map<std::string, Source> sources_;  // by parameter
};

/// The model of a checkpoint, its base frozen and packed as `storage` and `unpacked` say.
template <Backend B>
std::unique_ptr<Multimodal<B>> open_model(B& backend, const Checkpoint& checkpoint,
                                          Storage storage = Storage::full,
                                          nn::Unpacked unpacked = nn::Unpacked::keep) {
  auto model = std::make_unique<Multimodal<B>>(backend, checkpoint.config());
  checkpoint.load(model->parameters());
  model->freeze_base(storage, 0.0, unpacked);
  return model;
}

}  // namespace branchlora::model::published
