/// @file
/// The bodies of `llama_config.hpp`.
#pragma once

#include <algorithm>
#include <string>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/model/published/llama_config.hpp"

namespace branchlora::model::published {

namespace detail {

/// The stretching of positions that an object `rope_scaling` or `rope_parameters` asks for.
BRANCHLORA_INLINE op::RopeScaling read_rope_scaling(Settings& settings) {
  const auto kind =
      settings.take<std::string>("rope_type", settings.take<std::string>("type", "default"));
  const auto other = settings.take<std::string>("type", kind);
  expect(other == kind, "{}: type: expected \"{}\" as in rope_type, found \"{}\"", settings.where(),
         kind, other);
  op::RopeScaling scaling;
  if (kind == "default") return scaling;
  expect(kind == "linear" || kind == "llama3",
         "{}: rope_type: expected \"default\", \"linear\" or \"llama3\", found \"{}\"",
         settings.where(), kind);
  expect(settings.has("factor"), "{}: factor: expected a number above 0, found none",
         settings.where());
  scaling.factor = settings.take_positive("factor", 1.0);
  if (kind == "linear") return scaling;
  scaling.low = settings.take_positive("low_freq_factor", 1.0);
  scaling.high = settings.take_positive("high_freq_factor", 4.0);
  expect(scaling.low < scaling.high,
         "{}: high_freq_factor: expected more than low_freq_factor, which is {}, found {}",
         settings.where(), scaling.low, scaling.high);
  expect(settings.has("original_max_position_embeddings"),
         "{}: original_max_position_embeddings: expected a number above 0, found none",
         settings.where());
  scaling.original = settings.take_positive("original_max_position_embeddings", 1.0);
  return scaling;
}

/// Base and scaling of the rotary embedding. They stand in `rope_theta` and `rope_scaling`, or both
/// in `rope_parameters`, as newer files have it.
BRANCHLORA_INLINE void read_rope(Settings& settings, DecoderConfig& config) {
  const bool newer = settings.has("rope_parameters");
  expect(!newer || !settings.has("rope_scaling"),
         "{}: rope_scaling: expected none beside rope_parameters, found one", settings.where());
  config.rope_base = settings.take_positive("rope_theta", 10000.0);
  if (!newer && !settings.has("rope_scaling")) return;
  Settings rope = settings.object(newer ? "rope_parameters" : "rope_scaling");
  if (newer) {
    const double base = rope.take_positive("rope_theta", config.rope_base);
    expect(!settings.has("rope_theta") || base == config.rope_base,
           "{}: rope_theta: expected {} as beside it, found {}", rope.where(), config.rope_base,
           base);
    config.rope_base = base;
    rope.expect_only("partial_rotary_factor", 1.0);
  }
  config.rope_scaling = read_rope_scaling(rope);
  rope.expect_no_other();
}

}  // namespace detail

BRANCHLORA_INLINE DecoderConfig take_llama(Settings& settings) {
  DecoderConfig config;
  config.tied = settings.take<bool>("tie_word_embeddings", false);
  config.scaled_embeddings = false;
  config.vocabulary = settings.take_size("vocab_size", 32000);
  config.width = settings.take_size("hidden_size", 4096);
  config.hidden = settings.take_size("intermediate_size", 11008);
  config.layers = settings.take_size("num_hidden_layers", 32, most_blocks);
  config.heads = settings.take_size("num_attention_heads", 32);
  config.kv_heads = settings.take_size("num_key_value_heads", config.heads);
  config.length = std::max(settings.take_size("max_position_embeddings", 2048),
                           settings.take_size("max_sequence_length", 1));
  config.epsilon = settings.take_positive("rms_norm_eps", 1e-6);
  expect(settings.has("head_dim") || config.width % config.heads == 0,
         "{}: hidden_size: expected a multiple of the {} heads, found {}", settings.where(),
         config.heads, config.width);
  config.head = settings.take_size("head_dim", config.width / config.heads);
  expect(config.head % 2 == 0,
         "{}: head_dim: expected an even number for the rotary embedding, found {}",
         settings.where(), config.head);
  expect(config.heads % config.kv_heads == 0,
         "{}: num_key_value_heads: expected a divisor of the {} heads, found {}", settings.where(),
         config.heads, config.kv_heads);
  detail::read_rope(settings, config);
  settings.expect_only<std::string>("hidden_act", "silu");
  for (const char* key : {"attention_bias", "mlp_bias", "rope_interleaved"}) {
    settings.expect_only(key, false);
  }
  settings.expect_only("attention_dropout", 0.0);
  return config;
}

BRANCHLORA_INLINE DecoderConfig read_llama(Settings settings) {
  settings.expect_only<std::string>("model_type", "llama");
  const DecoderConfig config = take_llama(settings);
  settings.expect_no_other();
  return config;
}

}  // namespace branchlora::model::published
