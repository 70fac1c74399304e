/// @file
/// The shape of a published LLaMA.
#pragma once

#include "branchlora/model/config.hpp"
#include "branchlora/model/published/settings.hpp"

namespace branchlora::model::published {

/// Reads what decides about a LLaMA's decoder. What is absent has the value that transformers'
/// `LlamaConfig` gives it.
DecoderConfig take_llama(Settings& settings);

/// The decoder that a `config.json` of model type `llama` describes. Throws `Error` naming a
/// setting that contradicts another, asks for what is not supported, or is not known.
DecoderConfig read_llama(Settings settings);

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/llama_config-inl.hpp"
#endif
