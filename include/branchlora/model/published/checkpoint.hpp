/// @file
/// Published checkpoints in the folders in which they are distributed: `config.json` and
/// safetensors of a LLaMA, a LLaVA-1.5 or a CLIP.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/autograd/parameter.hpp"
#include "branchlora/data/clip_image.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/model/published/weights.hpp"

namespace branchlora::model::published {

struct ClipVision;
struct Llava;
class WeightFiles;

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
  static Checkpoint open(const std::filesystem::path& folder, const OpenOptions& options = {});

  /// The sizes of the model. A LLaMA's has no vision tower.
  const ModelConfig& config() const { return config_; }
  /// What stands for the picture in the token ids of a LLaVA's prompt.
  std::int32_t image_token() const { return image_token_; }
  /// How a LLaVA wants pictures to become square.
  data::Squaring squaring() const { return squaring_; }

  /// The path in the published model of the linear layer that is called `layer` here: what PEFT
  /// calls the module. "decoder.block.0.q" is "model.layers.0.self_attn.q_proj" in a LLaMA.
  std::string module_of(std::string_view layer) const;

  /// Reads the value of every parameter from its tensor. Throws `Error` naming a parameter that the
  /// checkpoint does not have, or has in another size.
  template <Backend B>
  void load(ParameterSet<B>& parameters) const {
    using T = typename B::Scalar;
    std::vector<T> host;
    for (auto& p : parameters) {
      expect_present(p);
      read(p.name, p.value.size(), host);
      parameters.backend().upload(p.value.data, host.data(), host.size() * sizeof(T));
    }
  }

 private:
  struct Json;  // a `config.json`

  struct Source {
    Weight weight;
    std::shared_ptr<const WeightFiles> files;
  };

  void open_llama(const Json& config, const std::filesystem::path& folder);

  void open_llava(const Json& config, const std::filesystem::path& folder);

  void open_original_llava(const Json& config, const std::filesystem::path& folder,
                           const OpenOptions& options);

  void open_clip(const ClipVision& vision, const std::filesystem::path& folder);

  /// The decoder's part of a map. A tied one may keep a copy of its embeddings as output layer.
  WeightMap decoder_map(const WeightFiles& files, const std::string& prefix,
                        const std::string& head) const;

  ClipVision take(const Llava& llava);

  void take(WeightMap map, const std::shared_ptr<const WeightFiles>& files);

  /// The `size` numbers of a parameter. Throws as `load` does.
  void read(const std::string& parameter, Index size, std::vector<float>& out) const;
  void read(const std::string& parameter, Index size, std::vector<double>& out) const;

  const Source& source(const std::string& parameter) const;

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

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/checkpoint-inl.hpp"
#endif
