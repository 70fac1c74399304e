/// @file
/// How a tokenizer cuts text into the pieces within which tokens are merged.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/regex.hpp"

namespace branchlora::data::bpe {

/// A piece of text, and whether the whole text begins with it.
struct Piece {
  std::string text;
  bool first = false;
};

namespace detail {

/// `Split`: by a pattern, whose matches (or, inverted, what lies between) are kept or removed.
struct Split {
  Regex regex;
  bool removes;
  bool inverted;

  explicit Split(const Located& json);

  void operator()(const Piece& piece, std::vector<Piece>& out) const;

 private:
  static std::string pattern(const Located& json);
};

/// `Digits`: numbers apart from the rest, each digit for itself or in runs.
struct Digits {
  Regex regex;

  explicit Digits(const Located& json);

  void operator()(const Piece& piece, std::vector<Piece>& out) const;
};

/// `ByteLevel`: cut by GPT-2's pattern if so wanted, and each byte written as a character.
struct ByteLevel {
  bool adds_space;
  bool cuts;
  Regex regex{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"};

  explicit ByteLevel(const Located& json);

  void operator()(const Piece& piece, std::vector<Piece>& out) const;
};

}  // namespace detail

/// Where the mark for a space is put before text that lacks it.
enum class PrependScheme { Always, First, Never };

/// Reads `prepend_scheme`, or `add_prefix_space` of older files.
PrependScheme read_prepend_scheme(const Located& json);

namespace detail {

/// `Metaspace`: spaces become a mark, and each mark begins a piece.
struct Metaspace {
  std::string mark;
  PrependScheme prepend;
  bool cuts;

  explicit Metaspace(const Located& json);

  void operator()(const Piece& piece, std::vector<Piece>& out) const;
};

}  // namespace detail

/// The `pre_tokenizer` of a tokenizer.json.
class PreTokenizer {
 public:
  /// Leaves text in one piece.
  PreTokenizer() = default;

  /// Reads `root.pre_tokenizer`. Throws `Error` naming a type or pattern that is not known.
  explicit PreTokenizer(const Located& root);

  /// The pieces of `piece`, none empty.
  std::vector<Piece> operator()(Piece piece) const;

  /// True if bytes become characters (`byte_characters`).
  bool byte_level() const { return byte_level_; }

 private:
  std::vector<std::variant<detail::Split, detail::Digits, detail::ByteLevel, detail::Metaspace>>
      steps_;
  bool byte_level_ = false;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/pre_tokenizer-inl.hpp"
#endif
