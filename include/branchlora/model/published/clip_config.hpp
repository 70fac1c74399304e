/// @file
/// The shape of a published CLIP vision tower.
#pragma once

#include "branchlora/model/config.hpp"
#include "branchlora/model/published/settings.hpp"

namespace branchlora::model::published {

/// A CLIP vision tower as far as its output is read: `config.layers` of its `blocks` blocks.
struct ClipVision {
  VisionConfig config;
  Index blocks = 0;
};

/// The vision tower that a `config.json` of model type `clip_vision_model`, or `clip`, whose other
/// half is a text tower, describes. Its output is hidden state `layer` without the class token: -2
/// is that of the last block but one, and what comes after it is never read. Throws `Error` naming
/// a setting that contradicts another, asks for what is not supported, or is not known.
ClipVision read_clip_vision(Settings settings, Index layer,
                            const char* setting = "vision_feature_layer");

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/clip_config-inl.hpp"
#endif
