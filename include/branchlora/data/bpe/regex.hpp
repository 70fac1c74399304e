/// @file
/// The regular expressions with which tokenizers cut text: matched on code points, leftmost first,
/// with backtracking.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace branchlora::data::bpe {

namespace detail {

/// A set of code points, as `[^\r\n\p{L}]`.
struct CharacterSet {
  enum class Kind { Range, Letter, Mark, Number, Space };
  struct Member {
    Kind kind = Kind::Range;
    bool negated = false;
    char32_t first = 0;
    char32_t last = 0;

    bool contains(char32_t c) const;
  };
  std::vector<Member> members;
  bool negated = false;

  bool contains(char32_t c) const;
};

/// A part of a pattern: a set, or a group of alternatives, repeated from `least` to `most` times;
/// or a look ahead at alternatives, which takes nothing.
struct PatternNode {
  using Sequence = std::vector<PatternNode>;
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();
  enum class Kind { Set, Group, Ahead, NotAhead };

  Kind kind = Kind::Set;
  CharacterSet set;
  std::vector<Sequence> alternatives;
  std::size_t least = 1;
  std::size_t most = 1;
};

}  // namespace detail

/// A regular expression of those that published tokenizers use: alternatives, groups without
/// repetition (but `?`), `(?i:...)` over ASCII, `(?=...)`, `(?!...)`, sets, `\p{L}`, `\p{M}`,
/// `\p{N}`, `\s`, and the greedy `?`, `*`, `+`, `{n,m}`.
class Regex {
 public:
  /// Part of a text, in code points.
  struct Match {
    std::size_t begin;
    std::size_t end;
  };

  /// Reads `pattern`; `where` begins the message of the `Error` that a construct outside the list
  /// above raises.
  explicit Regex(std::string_view pattern, const std::string& where = "pattern");

  /// The matches in `text` from left to right, none empty and none overlapping.
  std::vector<Match> matches(std::u32string_view text) const;

 private:
  using Node = detail::PatternNode;

  /// What must match after a group.
  struct Tail {
    std::span<const Node> rest;
    const Tail* next;
  };

  static std::optional<std::size_t> match_any(std::span<const Node::Sequence> alternatives,
                                              std::u32string_view text, std::size_t at,
                                              const Tail* tail);

  /// Where a match of `rest` and then `tail` ends that begins at `at`.
  static std::optional<std::size_t> match(std::span<const Node> rest, std::u32string_view text,
                                          std::size_t at, const Tail* tail);

  std::vector<detail::PatternNode::Sequence> alternatives_;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/regex-inl.hpp"
#endif
