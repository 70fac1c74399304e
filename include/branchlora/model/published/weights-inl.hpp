/// @file
/// The bodies of `weights.hpp`.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "branchlora/core/inline.hpp"
#include "branchlora/model/published/weights.hpp"

namespace branchlora::model::published {

BRANCHLORA_INLINE void WeightMap::add(const std::string& parameter, const std::string& tensor,
                                      std::vector<Index> shape) {
  read.push_back({parameter + ".weight", tensor + ".weight", std::move(shape)});
}

BRANCHLORA_INLINE void WeightMap::add_biased(const std::string& parameter,
                                             const std::string& tensor,
                                             const std::vector<Index>& shape) {
  add(parameter, tensor, shape);
  read.push_back({parameter + ".bias", tensor + ".bias", {shape.front()}});
}

BRANCHLORA_INLINE void WeightMap::add_llama(const DecoderConfig& c, const std::string& prefix,
                                            const std::string& head) {
  read.push_back({"decoder.embedding", prefix + "embed_tokens.weight", {c.vocabulary, c.width}});
  if (!c.tied) read.push_back({"decoder.head", head, {c.vocabulary, c.width}});
  add("decoder.norm", prefix + "norm", {c.width});
  const Index query = c.heads * c.head_size();
  const Index key = c.kv_heads * c.head_size();
  for (Index i = 0; i < c.layers; ++i) {
    const std::string to = "decoder.block." + std::to_string(i);
    const std::string from = prefix + "layers." + std::to_string(i);
    add(to + ".norm1", from + ".input_layernorm", {c.width});
    add(to + ".norm2", from + ".post_attention_layernorm", {c.width});
    add(to + ".q", from + ".self_attn.q_proj", {query, c.width});
    add(to + ".k", from + ".self_attn.k_proj", {key, c.width});
    add(to + ".v", from + ".self_attn.v_proj", {key, c.width});
    add(to + ".o", from + ".self_attn.o_proj", {c.width, query});
    add(to + ".gate", from + ".mlp.gate_proj", {c.hidden, c.width});
    add(to + ".up", from + ".mlp.up_proj", {c.hidden, c.width});
    add(to + ".down", from + ".mlp.down_proj", {c.width, c.hidden});
    unread.push_back(from + ".self_attn.rotary_emb.inv_freq");  // in older files
  }
}

BRANCHLORA_INLINE void WeightMap::add_clip(const VisionConfig& c, Index blocks,
                                           const std::string& prefix) {
  const std::string embeddings = prefix + "embeddings.";
  read.push_back({"vision.embed.weight",
                  embeddings + "patch_embedding.weight",
                  {c.width, 3, c.kernel, c.kernel},
                  true});
  read.push_back({"vision.class", embeddings + "class_embedding", {c.width}});
  read.push_back(
      {"vision.position", embeddings + "position_embedding.weight", {c.rows(), c.width}});
  unread.push_back(embeddings + "position_ids");  // in older files
  add_biased("vision.pre_norm", prefix + "pre_layrnorm", {c.width});
  for (Index i = 0; i < blocks; ++i) {
    const std::string to = "vision.block." + std::to_string(i);
    const std::string from = prefix + "encoder.layers." + std::to_string(i);
    if (i >= c.layers) {
      unread.push_back(from + ".");
      continue;
    }
    add_biased(to + ".norm1", from + ".layer_norm1", {c.width});
    add_biased(to + ".norm2", from + ".layer_norm2", {c.width});
    add_biased(to + ".q", from + ".self_attn.q_proj", {c.width, c.width});
    add_biased(to + ".k", from + ".self_attn.k_proj", {c.width, c.width});
    add_biased(to + ".v", from + ".self_attn.v_proj", {c.width, c.width});
    add_biased(to + ".o", from + ".self_attn.out_proj", {c.width, c.width});
    add_biased(to + ".up", from + ".mlp.fc1", {c.hidden, c.width});
    add_biased(to + ".down", from + ".mlp.fc2", {c.width, c.hidden});
  }
  unread.push_back(prefix + "post_layernorm.");
}

BRANCHLORA_INLINE void WeightMap::add_projector(const ModelConfig& c, const std::string& first,
                                                const std::string& second) {
  add_biased("projector.in", first, {c.decoder.width, c.vision.feature_width()});
  add_biased("projector.out", second, {c.decoder.width, c.decoder.width});
}

}  // namespace branchlora::model::published
