/// @file
/// The bodies of `config.hpp`.
#pragma once

#include <concepts>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "branchlora/core/inline.hpp"
#include "branchlora/model/config.hpp"

namespace branchlora::op {

BRANCHLORA_INLINE void to_json(nlohmann::json& json, const RopeScaling& scaling) {
  json = {{"factor", scaling.factor},
          {"original", scaling.original},
          {"low", scaling.low},
          {"high", scaling.high}};
}

BRANCHLORA_INLINE void from_json(const nlohmann::json& json, RopeScaling& scaling) {
  json.at("factor").get_to(scaling.factor);
  json.at("original").get_to(scaling.original);
  json.at("low").get_to(scaling.low);
  json.at("high").get_to(scaling.high);
}

}  // namespace branchlora::op

namespace branchlora::model {

namespace detail {

/// f(name, field, later) on every field of c; files older than a `later` one lack it.
template <class Config, class F>
requires std::same_as<std::remove_const_t<Config>, VisionConfig>
void each_field(Config& c, F f) {
  f("image", c.image, false);
  f("kernel", c.kernel, false);
  f("stride", c.stride, false);
  f("width", c.width, false);
  f("layers", c.layers, false);
  f("heads", c.heads, false);
  f("hidden", c.hidden, false);
  f("merge", c.merge, false);
  f("epsilon", c.epsilon, false);
  f("raw_pixels", c.raw_pixels, true);
  f("patch_bias", c.patch_bias, true);
  f("class_token", c.class_token, true);
  f("pre_norm", c.pre_norm, true);
  f("quick_gelu", c.quick_gelu, true);
  f("last_norm", c.last_norm, true);
}

/// f(name, field, later) on every field of c; files older than a `later` one lack it.
template <class Config, class F>
requires std::same_as<std::remove_const_t<Config>, DecoderConfig>
void each_field(Config& c, F f) {
  f("vocabulary", c.vocabulary, false);
  f("width", c.width, false);
  f("layers", c.layers, false);
  f("heads", c.heads, false);
  f("kv_heads", c.kv_heads, false);
  f("hidden", c.hidden, false);
  f("length", c.length, false);
  f("rope_base", c.rope_base, false);
  f("epsilon", c.epsilon, false);
  f("head", c.head, true);
  f("tied", c.tied, true);
  f("scaled_embeddings", c.scaled_embeddings, true);
  f("rope_scaling", c.rope_scaling, true);
}

template <class Config>
void write_fields(nlohmann::json& json, const Config& config) {
  json = nlohmann::json::object();
  each_field(config, [&](const char* name, auto& field, bool) { json[name] = field; });
  const Config usual;
  each_field(usual, [&](const char* name, auto& field, bool later) {
    if (later && json[name] == nlohmann::json(field)) json.erase(name);
  });
}

template <class Config>
void read_fields(const nlohmann::json& json, Config& config) {
  each_field(config, [&](const char* name, auto& field, bool later) {
    if (!later || json.contains(name)) json.at(name).get_to(field);
  });
}

}  // namespace detail

BRANCHLORA_INLINE void to_json(nlohmann::json& json, const VisionConfig& config) {
  detail::write_fields(json, config);
}

BRANCHLORA_INLINE void to_json(nlohmann::json& json, const DecoderConfig& config) {
  detail::write_fields(json, config);
}

BRANCHLORA_INLINE void to_json(nlohmann::json& json, const ModelConfig& config) {
  json = {{"vision", config.vision}, {"decoder", config.decoder}};
}

BRANCHLORA_INLINE void from_json(const nlohmann::json& json, VisionConfig& config) {
  detail::read_fields(json, config);
}

BRANCHLORA_INLINE void from_json(const nlohmann::json& json, DecoderConfig& config) {
  detail::read_fields(json, config);
}

BRANCHLORA_INLINE void from_json(const nlohmann::json& json, ModelConfig& config) {
  json.at("vision").get_to(config.vision);
  json.at("decoder").get_to(config.decoder);
}

}  // namespace branchlora::model
