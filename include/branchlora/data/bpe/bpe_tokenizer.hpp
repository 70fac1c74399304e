/// @file
/// The tokenizers of published language models: a Hugging Face `tokenizer.json` of type BPE.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data {

/// Whether `BpeTokenizer` puts special tokens around a text, or leaves them out of one.
enum class SpecialTokens { Keep, Omit };

/// Turns text into token numbers and back, as a `tokenizer.json` says: SentencePiece's BPE with
/// byte fallback (LLaMA, Vicuna) and byte-level BPE (GPT-2, LLaMA-3, Qwen2, SmolLM). It gives the
/// numbers that the Python package `tokenizers` gives; `truncation` and `padding` are ignored. A
/// component that it does not know is refused by name. Safe for several threads at a time.
class BpeTokenizer {
 public:
  /// Reads the file `path`. Throws `Error` naming it and the place in it.
  static BpeTokenizer load(const std::filesystem::path& path);

  /// The tokenizer that `json` describes; `name` begins the message of the `Error` it throws.
  explicit BpeTokenizer(const io::Json& json, const std::string& name = "tokenizer.json");

  /// One more than the highest token number.
  Index size() const;

  /// The number of `token`, as `</s>` or `▁the`, if there is one.
  std::optional<Index> id(std::string_view token) const;

  /// The token of number `id`. Throws `Error` if there is none.
  const std::string& token(Index id) const;

  /// The token numbers of `text`, with what the model expects around it (as LLaMA's `<s>`) unless
  /// `special` is `Omit`. Special tokens in the text itself are found either way. Bytes that are
  /// not UTF-8 count as U+FFFD.
  std::vector<Index> encode(std::string_view text,
                            SpecialTokens special = SpecialTokens::Keep) const;

  /// The text of `ids`, special tokens written out unless `special` is `Omit`. Numbers of no token
  /// (models may have more outputs than there are tokens) are left out. A token that is looked for
  /// in normalised text is written so too.
  std::string decode(std::span<const Index> ids, SpecialTokens special = SpecialTokens::Keep) const;

 private:
  struct Parts;

  const std::string* find(Index id) const;

  void encode_stretch(const std::string& text, bool first, std::vector<Index>& ids) const;

  std::shared_ptr<const Parts> parts_;  // one for all copies
};

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/bpe_tokenizer-inl.hpp"
#endif
