/// @file
/// The tokenizers of published language models: a Hugging Face `tokenizer.json` of type BPE.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/bpe/added_tokens.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/decoder.hpp"
#include "branchlora/data/bpe/merger.hpp"
#include "branchlora/data/bpe/normalizer.hpp"
#include "branchlora/data/bpe/post_processor.hpp"
#include "branchlora/data/bpe/pre_tokenizer.hpp"
#include "branchlora/data/bpe/utf8.hpp"
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
  static BpeTokenizer load(const std::filesystem::path& path) {
    return BpeTokenizer(io::read_json(path), path.string());
  }

  /// The tokenizer that `json` describes; `name` begins the message of the `Error` it throws.
  explicit BpeTokenizer(const io::Json& json, const std::string& name = "tokenizer.json")
      : BpeTokenizer(bpe::Located{json, name}) {}

  /// One more than the highest token number.
  Index size() const { return std::max(merger_.size(), added_.size()); }

  /// The number of `token`, as `</s>` or `▁the`, if there is one.
  std::optional<Index> id(std::string_view token) const {
    const auto added = added_.id(token);
    return added ? added : merger_.id(token);
  }

  /// The token of number `id`. Throws `Error` if there is none.
  const std::string& token(Index id) const {
    const std::string* found = find(id);
    expect(found != nullptr, "tokenizer: expected the number of a token below {}, found {}", size(),
           id);
    return *found;
  }

  /// The token numbers of `text`, with what the model expects around it (as LLaMA's `<s>`) unless
  /// `special` is `Omit`. Special tokens in the text itself are found either way. Bytes that are
  /// not UTF-8 count as U+FFFD.
  std::vector<Index> encode(std::string_view text,
                            SpecialTokens special = SpecialTokens::Keep) const {
    const std::string valid = bpe::valid_utf8(text);
    std::vector<Index> ids;
    bool first = true;
    for (const auto& raw : added_.cut_raw(valid)) {
      if (raw.token) {
        ids.push_back(raw.token->id);
      } else {
        encode_stretch(normalizer_(std::string(raw.text)), first, ids);
      }
      first = false;
    }
    return special == SpecialTokens::Keep ? post_processor_(std::move(ids)) : ids;
  }

  /// The text of `ids`, special tokens written out unless `special` is `Omit`. Numbers of no token
  /// (models may have more outputs than there are tokens) are left out. A token that is looked for
  /// in normalised text is written so too.
  std::string decode(std::span<const Index> ids,
                     SpecialTokens special = SpecialTokens::Keep) const {
    std::vector<std::string> tokens;
    for (const Index id : ids) {
      const auto* added = added_.find(id);
      if (added && added->special && special == SpecialTokens::Omit) continue;
      if (const std::string* text = added ? &added->sought : merger_.token(id)) {
        tokens.push_back(*text);
      }
    }
    return decoder_(std::move(tokens));
  }

 private:
  explicit BpeTokenizer(const bpe::Located& root)
      : normalizer_(root.object()),
        pre_tokenizer_(root),
        merger_(root, pre_tokenizer_.byte_level()),
        added_(root, merger_, normalizer_),
        post_processor_(root),
        decoder_(root) {}

  const std::string* find(Index id) const {
    const auto* added = added_.find(id);
    return added ? &added->content : merger_.token(id);
  }

  void encode_stretch(const std::string& text, bool first, std::vector<Index>& ids) const {
    for (const auto& part : added_.cut_normalized(text)) {
      if (part.token) {
        ids.push_back(part.token->id);
      } else {
        for (const bpe::Piece& piece : pre_tokenizer_({std::string(part.text), first})) {
          merger_.encode(piece.text, ids);
        }
      }
      first = false;
    }
  }

  bpe::Normalizer normalizer_;
  bpe::PreTokenizer pre_tokenizer_;
  bpe::Merger merger_;
  bpe::AddedTokens added_;
  bpe::PostProcessor post_processor_;
  bpe::Decoder decoder_;
};

}  // namespace branchlora::data
