/// @file
/// Byte-pair encoding: the vocabulary, and the merging of neighbours within a piece of text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/data/bpe/component.hpp"

namespace branchlora::data::bpe {

/// The token that stands for a byte where byte fallback is on: `<0x0A>`.
std::string byte_token(unsigned char byte);

/// The `model` of a tokenizer.json, of type BPE: pieces to token numbers (Sennrich et al., "Neural
/// machine translation of rare words with subword units", 2016).
class Merger {
 public:
  /// Reads `root.model`. `byte_level` says that pieces are characters for bytes. Throws `Error` if
  /// the model is of another type, asks for what is not known (dropout, prefixes, suffixes), gives
  /// one number to two tokens, merges what its vocabulary lacks, or could meet text that has no
  /// token and is not byte-level.
  Merger(const Located& root, bool byte_level);

  /// The number of `token`, if it is in the vocabulary.
  std::optional<Index> id(std::string_view token) const;

  /// The token of number `id`, or null.
  const std::string* token(Index id) const;

  /// One more than the highest number.
  Index size() const { return size_; }

  /// Appends the numbers of `piece` to `out`. Of all neighbours that have a merge, the one listed
  /// first is joined, the leftmost of several; until none is left. A byte that has no token, of a
  /// byte-level vocabulary without an unk_token, is left out, as the reference does (SmolLM2 lacks
  /// some control characters). O(n log n) for n characters.
  void encode(std::string_view piece, std::vector<Index>& out) const;

 private:
  struct Symbol {
    Index id;
    std::ptrdiff_t previous;
    std::ptrdiff_t next;  ///< `none` at the end; `gone` once joined to the one before.
  };
  static constexpr std::ptrdiff_t none = -1;
  static constexpr std::ptrdiff_t gone = -2;

  struct Merge {
    std::size_t rank;
    Index id;
  };

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const;
  };

  static std::uint64_t key(Index left, Index right);

  const Merge* find_merge(Index left, Index right) const;

  void read_vocabulary(const Located& vocabulary);

  void read_merges(const Located& merges);

  /// `["a", "b"]`, or "a b" in older files.
  static std::vector<std::string> read_merge(const Located& merge);

  void check_completeness(const Located& model, bool byte_level) const;

  std::vector<Symbol> symbols(std::string_view piece) const;

  std::vector<Symbol> merged(std::vector<Symbol> all) const;

  std::unordered_map<std::string, Index, Hash, std::equal_to<>> ids_;
  std::unordered_map<Index, std::string> tokens_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  Index size_ = 0;
  std::optional<Index> unknown_;
  bool fuses_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignores_merges_ = false;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/merger-inl.hpp"
#endif
