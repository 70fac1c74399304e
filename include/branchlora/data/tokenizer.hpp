/// @file
/// The word tokenizer of MiniCoIN.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/matrix.hpp"

namespace branchlora::data {

/// Turns text into token numbers and back. A token is what `split_text` calls one; its number is
/// its place in the vocabulary, after four special tokens.
class Tokenizer {
 public:
  static constexpr Index pad = 0;      ///< `<pad>`: fills up, means nothing.
  static constexpr Index begin = 1;    ///< `<s>`: begins a sequence.
  static constexpr Index end = 2;      ///< `</s>`: ends an answer.
  static constexpr Index unknown = 3;  ///< `<unk>`: a token that the vocabulary lacks.

  /// A tokenizer of `words`, which get the numbers from 4 on. Throws `Error`, in which `name`
  /// stands for the vocabulary, if a word appears twice or is not one token.
  explicit Tokenizer(const std::vector<std::string>& words, const std::string& name = "vocabulary");

  /// Reads a vocabulary: a JSON list of `[token, count]`. Throws `Error` naming file and entry.
  static Tokenizer load(const std::filesystem::path& path);

  /// Number of tokens, the special ones among them.
  Index size() const { return static_cast<Index>(tokens_.size()); }

  /// The number of `token`, or `unknown`.
  Index id(std::string_view token) const;

  /// The token of number `id`. Throws `Error` if there is none.
  const std::string& token(Index id) const;

  /// The token numbers of `text`, no special ones added.
  std::vector<Index> encode(std::string_view text) const;

  /// The tokens of `ids`, separated by single spaces.
  std::string decode(std::span<const Index> ids) const;

  /// How many of `ids` are tokens that the vocabulary lacks.
  static Index count_unknown(std::span<const Index> ids);

 private:
  std::vector<std::string> tokens_;
  std::map<std::string, Index, std::less<>> ids_;
};

}  // namespace branchlora::data

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/tokenizer-inl.hpp"
#endif
