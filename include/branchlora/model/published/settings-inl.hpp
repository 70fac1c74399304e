/// @file
/// The bodies of `settings.hpp`.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/model/published/settings.hpp"

namespace branchlora::model::published {

/// Settings that say nothing of what a model computes: where it comes from, how its weights were
/// stored, started and trained, and how its library generates and returns. Any value is taken.
inline constexpr std::array<std::string_view, 66> harmless_settings{
    "_attn_implementation_autoset",
    "_commit_hash",
    "_from_model_config",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token_id",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token_id",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "ignore_index",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "pad_token_id",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "tokenizer_model_max_length",
    "tokenizer_padding_side",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
};

BRANCHLORA_INLINE Settings::Settings(const io::Json& json, std::string where)
    : json_(&json), where_(std::move(where)) {
  expect(json.is_object(), "{}: expected an object, found {}", where_, json.type_name());
}

BRANCHLORA_INLINE bool Settings::has(std::string_view key) const { return find(key) != nullptr; }

BRANCHLORA_INLINE Index Settings::take_size(std::string_view key, Index otherwise, Index most) {
  const Index size = take<Index>(key, otherwise);
  expect(size >= 1, "{}: {}: expected at least 1, found {}", where_, key, size);
  expect(size <= most, "{}: {}: expected at most {}, found {}", where_, key, most, size);
  return size;
}

BRANCHLORA_INLINE double Settings::take_positive(std::string_view key, double otherwise) {
  const double x = take<double>(key, otherwise);
  expect(x > 0, "{}: {}: expected a number above 0, found {}", where_, key, x);
  return x;
}

BRANCHLORA_INLINE Settings Settings::object(std::string_view key) {
  const io::Json* value = taken(key);
  expect(value != nullptr, "{}: {}: expected an object, found none", where_, key);
  return {*value, where_ + ": " + std::string(key)};
}

BRANCHLORA_INLINE void Settings::pass(std::string_view key) { taken(key); }

BRANCHLORA_INLINE bool Settings::includes(const Settings& other) const {
  return std::ranges::all_of(other.json_->items(), [&](const auto& setting) {
    const io::Json* here = find(setting.key());
    return here == nullptr ? setting.value().is_null() : *here == setting.value();
  });
}

BRANCHLORA_INLINE void Settings::expect_no_other() const {
  for (const auto& [key, value] : json_->items()) {
    expect(value.is_null() || std::ranges::find(taken_, key) != taken_.end() ||
               std::ranges::find(harmless_settings, key) != harmless_settings.end(),
           "{}: {}: this setting is not known; expected none, found {}", where_, key, value.dump());
  }
}

BRANCHLORA_INLINE const io::Json* Settings::find(std::string_view key) const {
  const auto found = json_->find(std::string(key));
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

BRANCHLORA_INLINE const io::Json* Settings::taken(std::string_view key) {
  taken_.emplace_back(key);
  return find(key);
}

template <class T>
T Settings::take(std::string_view key, T otherwise) {
  const io::Json* value = taken(key);
  return value == nullptr ? otherwise : convert<T>(key, *value);
}

template <class T>
void Settings::expect_only(std::string_view key, const T& only) {
  const T found = take<T>(key, only);
  expect(found == only, "{}: {}: expected {}, found {}", where_, key, io::Json(only).dump(),
         io::Json(found).dump());
}

template <class T>
T Settings::convert(std::string_view key, const io::Json& value) const {
  if constexpr (std::same_as<T, Index>) {
    const bool fits = !value.is_number_unsigned() || value.get<std::uint64_t>() >> 63 == 0;
    expect(value.is_number_integer() && fits, "{}: {}: expected a whole number, found {}", where_,
           key, value.dump());
  } else if constexpr (std::same_as<T, double>) {
    expect(value.is_number(), "{}: {}: expected a number, found {}", where_, key, value.dump());
  } else if constexpr (std::same_as<T, bool>) {
    expect(value.is_boolean(), "{}: {}: expected true or false, found {}", where_, key,
           value.dump());
  } else {
    static_assert(std::same_as<T, std::string>,
                  "A setting is a whole number, a number, true or false, or a string.");
    expect(value.is_string(), "{}: {}: expected a string, found {}", where_, key, value.dump());
  }
  return value.get<T>();
}

#ifdef BRANCHLORA_COMPILED
template Index Settings::take(std::string_view, Index);
template double Settings::take(std::string_view, double);
template bool Settings::take(std::string_view, bool);
template std::string Settings::take(std::string_view, std::string);
template void Settings::expect_only(std::string_view, const Index&);
template void Settings::expect_only(std::string_view, const double&);
template void Settings::expect_only(std::string_view, const bool&);
template void Settings::expect_only(std::string_view, const std::string&);
#endif

}  // namespace branchlora::model::published
