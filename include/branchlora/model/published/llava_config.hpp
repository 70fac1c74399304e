/// @file
/// The shape of a published LLaVA-1.5, in the two forms in which its settings are written.
#pragma once

#include <cstdint>

#include "branchlora/data/clip_image.hpp"
#include "branchlora/model/published/clip_config.hpp"
#include "branchlora/model/published/llama_config.hpp"

namespace branchlora::model::published {

/// A LLaVA-1.5 (Liu et al., "Improved Baselines with Visual Instruction Tuning", CVPR 2024): CLIP's
/// features of one hidden state, the projector `mlp2x_gelu`, a LLaMA.
struct Llava {
  DecoderConfig decoder;
  ClipVision vision;
  std::int32_t image_token = -200;  ///< Stands for the picture in a prompt's ids.
  data::Squaring squaring = data::Squaring::CentreCrop;  ///< How pictures become square.
};

/// Whether settings are those of the authors' own code, whose vision tower lies elsewhere.
bool is_original_llava(const Settings& settings);

/// The form of transformers: model type `llava` with an object for each half. The way in which
/// pictures become square is the processor's, and taken from there.
Llava read_llava(Settings settings);

/// The authors' form: model type `llava` or `llava_llama`, a LLaMA's settings, and `mm_*` settings
/// of the rest. `vision` are the settings of the CLIP that `mm_vision_tower` names.
Llava read_original_llava(Settings settings, Settings vision);

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/llava_config-inl.hpp"
#endif
