/// @file
/// The base model of a run: its shape, its weights and its language.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "branchlora/continual/language.hpp"
#include "branchlora/data/conversation.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/model/checkpoint.hpp"
#include "branchlora/model/config.hpp"
#include "branchlora/model/multimodal.hpp"
#include "branchlora/model/published/checkpoint.hpp"

namespace branchlora::continual {

/// How a published model is opened as a base.
struct PublishedOptions {
  std::filesystem::path vision_tower{};  ///< CLIP's folder, of an original LLaVA.
  /// How turns are written; none: as the tokenizer suggests.
  std::optional<data::Conversation> conversation{};
  Index longest = 0;  ///< Text tokens of a turn at most; 0: as many as there are positions.
};

/// The base model of a run: its shape, where its weights are, and its language.
struct Base {
  std::filesystem::path checkpoint;
  model::ModelConfig config;
  std::shared_ptr<const Language> language;
  std::string digest;  ///< Tells these weights and this language from others.
  std::optional<model::published::Checkpoint> published{};

  /// The embedded benchmark's: reads the shape from the checkpoint and the words from a vocabulary
  /// file. Its digest is the hash of the checkpoint's bytes.
  static Base open(const std::filesystem::path& checkpoint,
                   const std::filesystem::path& vocabulary);

  /// A published model: a folder of `config.json`, safetensors and `tokenizer.json`. Nothing big is
  /// read. Its digest is a hash of those JSON files, how turns are written, and of each tensor its
  /// name, type, shape and first bytes.
  static Base open_published(const std::filesystem::path& folder,
                             const PublishedOptions& options = {});

  /// Loads the weights into a model of this shape, which has no adapters yet.
  template <Backend B>
  void load(model::Multimodal<B>& model) const {
    if (published) return published->load(model.parameters());
    model::load_parameters(io::SafeTensors::open(checkpoint), model.parameters(),
                           [](const auto&) { return true; });
  }
};

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/base-inl.hpp"
#endif
