/// @file
/// Tokens that are found in text before anything else is done to it.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/merger.hpp"
#include "branchlora/data/bpe/normalizer.hpp"

namespace branchlora::data::bpe {

/// The `added_tokens` of a tokenizer.json.
class AddedTokens {
 public:
  /// A token, and how it is looked for.
  struct Token {
    Index id = 0;
    std::string content;
    std::string sought;         ///< What stands in the text: the content, normalised if so asked.
    bool special = false;       ///< A mark as `</s>`, which decoding can leave out.
    bool takes_before = false;  ///< Takes the white space before it (`lstrip`).
    bool takes_after = false;   ///< Takes the white space after it (`rstrip`).
  };

  /// A stretch of text, with the token that it is, if it is one.
  struct Stretch {
    std::string_view text;
    const Token* token = nullptr;
  };

  /// Reads `root.added_tokens`. Throws `Error` if one has the number of another token, or asks to
  /// stand between words (`single_word`).
  AddedTokens(const Located& root, const Merger& merger, const Normalizer& normalizer);

  /// The token of number `id`, or null.
  const Token* find(Index id) const;

  /// The number of the added token `content`.
  std::optional<Index> id(std::string_view content) const;

  /// One more than the highest number; 0 if there is none.
  Index size() const { return by_id_.empty() ? 0 : by_id_.rbegin()->first + 1; }

  /// `text`, as it came, cut into tokens and what lies between. Tokens with `normalized` are not
  /// looked for.
  std::vector<Stretch> cut_raw(std::string_view text) const { return cut(in_raw_, text); }

  /// The same after the normaliser, for the tokens with `normalized`.
  std::vector<Stretch> cut_normalized(std::string_view text) const;

 private:
  /// What is looked for, by its first byte, the longest first.
  class Needles {
   public:
    void add(const Token& token);

    /// The longest that `text`, which is not empty, begins with, or null.
    const std::pair<std::string, Index>* match(std::string_view text) const;

   private:
    std::array<std::vector<std::pair<std::string, Index>>, 256> buckets_;
  };

  const Token& add(const Located& json, const Merger& merger, const Normalizer& normalizer);

  std::vector<Stretch> cut(const Needles& needles, std::string_view text) const;

  static std::size_t space_at_start(std::string_view text);

  static std::size_t space_at_end(std::string_view text);

  std::map<Index, Token> by_id_;
  std::map<std::string, Index, std::less<>> ids_;
  Needles in_raw_;
  Needles in_normalized_;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/added_tokens-inl.hpp"
#endif
