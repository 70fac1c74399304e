/// @file
/// How the tokenizer inside a GGUF file is read.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/gguf_tokenizer.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/located.hpp"

namespace branchlora::io {

namespace detail {

/// What the name of a pre-tokenizer (`tokenizer.ggml.pre`) stands for.
struct GgufPreTokenizer {
  std::string_view name;
  std::string_view pattern;       ///< Cuts text; if there is none, GPT-2's does.
  bool cuts_digits = false;       ///< Each digit stands by itself.
  bool composes = false;          ///< Text is brought to normalisation form C.
  bool ignores_merges = false;    ///< A piece that is a token is that token, without merging.
  bool begins_with_mark = false;  ///< A text begins with the mark of a beginning, unless told.
};

/// The published tokenizers of GPT-2, SmolLM, LLaMA-3 and Qwen2.
inline constexpr std::array<GgufPreTokenizer, 4> gguf_pre_tokenizers{{
    {.name = "gpt-2", .pattern = ""},
    {.name = "smollm", .pattern = "", .cuts_digits = true},
    {.name = "llama-bpe",
     .pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
                R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     .ignores_merges = true,
     .begins_with_mark = true},
    {.name = "qwen2",
     .pattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})"
                R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     .composes = true},
}};

/// Builds a tokenizer.json from the keys `tokenizer.ggml.*` of a GGUF file's metadata.
class GgufTokenizerReader {
 public:
  explicit GgufTokenizerReader(const Located& metadata)
      : metadata_(metadata), kind_(read_kind()), tokens_(field("tokens").texts()) {}

  Json read() const {
    if (metadata_.flag("tokenizer.ggml.add_space_prefix", false)) {
      field("add_space_prefix").refuse("false, as for byte-level tokenizers");
    }
    return {{"version", "1.0"},
            {"truncation", nullptr},
            {"padding", nullptr},
            {"added_tokens", added_tokens()},
            {"normalizer", kind_.composes ? Json{{"type", "NFC"}} : Json()},
            {"pre_tokenizer", pre_tokenizer()},
            {"post_processor", post_processor()},
            {"decoder", byte_level(true)},
            {"model",
             {{"type", "BPE"},
              {"dropout", nullptr},
              {"unk_token", nullptr},
              {"continuing_subword_prefix", nullptr},
              {"end_of_word_suffix", nullptr},
              {"fuse_unk", false},
              {"byte_fallback", false},
              {"ignore_merges", kind_.ignores_merges},
              {"vocab", vocabulary()},
              {"merges", field("merges").texts()}}}};
  }

 private:
  /// How `tokenizer.ggml.token_type` numbers the kinds of tokens that byte-level tokenizers have.
  enum TokenType : Index { Normal = 1, Control = 3, UserDefined = 4, Unused = 5 };

  Located field(std::string_view key) const {
    return metadata_.field(("tokenizer.ggml." + std::string(key)).c_str());
  }

  const GgufPreTokenizer& read_kind() const {
    if (field("model").text() != "gpt2") {
      field("model").refuse("\"gpt2\", a byte-level tokenizer");
    }
    const Located pre = field("pre");
    for (const GgufPreTokenizer& kind : gguf_pre_tokenizers) {
      if (kind.name == pre.text()) return kind;
    }
    pre.refuse("one of gpt-2, smollm, llama-bpe, qwen2");
  }

  Json vocabulary() const {
    Json vocabulary = Json::object();
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      const auto [entry, fresh] = vocabulary.emplace(tokens_[id], id);
      expect(fresh, "{}: tokenizer.ggml.tokens: '{}' appears twice, as {} and {}", metadata_.where,
             tokens_[id], entry->get<std::size_t>(), id);
    }
    return vocabulary;
  }

  /// The tokens that are found in text as they are: marks, and those that a user has added.
  Json added_tokens() const {
    const Located types = field("token_type");
    expect(types.list().value.size() == tokens_.size(),
           "{}: expected {} values, one a token, found {}", types.where, tokens_.size(),
           types.value.size());
    Json added = Json::array();
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      const Located type = types.item(id);
      switch (type.number()) {
        case Normal:
        case Unused:
          break;
        case Control:
        case UserDefined:
          added.push_back({{"id", id},
                           {"content", tokens_[id]},
                           {"single_word", false},
                           {"lstrip", false},
                           {"rstrip", false},
                           {"normalized", false},
                           {"special", type.number() == Control}});
          break;
        default:
          type.refuse("1 (normal), 3 (control), 4 (user-defined) or 5 (unused)");
      }
    }
    return added;
  }

  static Json byte_level(bool cuts) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", cuts}};
  }

  Json pre_tokenizer() const {
    Json steps = Json::array();
    if (kind_.cuts_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    const bool splits = !kind_.pattern.empty();
    if (splits) {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", kind_.pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
    steps.push_back(byte_level(!splits));
    return {{"type", "Sequence"}, {"pretokenizers", steps}};
  }

  /// Puts the marks of a beginning and an end around a text, as far as the file asks for them.
  Json post_processor() const {
    Json parts = Json::array();
    Json marks = Json::object();
    const auto put = [&](const char* key) {
      const Located number = field(key);
      const auto id = static_cast<std::size_t>(number.number());
      if (id >= tokens_.size()) number.refuse(fmt::format("a token below {}", tokens_.size()));
      const std::string& name = tokens_[id];
      parts.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
      marks[name] = {{"id", name}, {"ids", Json::array({id})}, {"tokens", Json::array({name})}};
    };
    if (metadata_.flag("tokenizer.ggml.add_bos_token", kind_.begins_with_mark)) put("bos_token_id");
    parts.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    if (metadata_.flag("tokenizer.ggml.add_eos_token", false)) put("eos_token_id");
    Json offsets = byte_level(true);
    offsets["trim_offsets"] = false;
    if (marks.empty()) return offsets;
    Json pair = parts;
    pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
    return {{"type", "Sequence"},
            {"processors",
             {offsets,
              {{"type", "TemplateProcessing"},
               {"single", parts},
               {"pair", pair},
               {"special_tokens", marks}}}}};
  }

  Located metadata_;
  const GgufPreTokenizer& kind_;
  std::vector<std::string> tokens_;
};

}  // namespace detail

BRANCHLORA_INLINE Json gguf_tokenizer(const Json& metadata, const std::string& name) {
  return detail::GgufTokenizerReader({metadata, name}).read();
}

BRANCHLORA_INLINE Json gguf_tokenizer_config(const Json& metadata, const std::string& name) {
  const Located file{metadata, name};
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false}};
  const Located tokens = file.field("tokenizer.ggml.tokens").list();
  for (const auto& [key, mark] : {std::pair("tokenizer.ggml.bos_token_id", "bos_token"),
                                  {"tokenizer.ggml.eos_token_id", "eos_token"},
                                  {"tokenizer.ggml.unknown_token_id", "unk_token"},
                                  {"tokenizer.ggml.padding_token_id", "pad_token"}}) {
    if (!file.sets(key)) continue;
    const Located number = file.field(key);
    const auto id = static_cast<std::size_t>(number.number());
    if (id >= tokens.value.size()) {
      number.refuse(fmt::format("a token below {}", tokens.value.size()));
    }
    config[mark] = tokens.item(id).text();
  }
  if (file.sets("tokenizer.chat_template")) {
    config["chat_template"] = file.field("tokenizer.chat_template").text();
  }
  return config;
}

}  // namespace branchlora::io
