/// @file
/// How patterns are read and matched.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/regex.hpp"
#include "branchlora/data/bpe/unicode.hpp"

namespace branchlora::data::bpe {

namespace detail {

BRANCHLORA_INLINE bool CharacterSet::Member::contains(char32_t c) const {
  switch (kind) {
    case Kind::Range:
      return (c >= first && c <= last) != negated;
    case Kind::Letter:
      return is_letter(c) != negated;
    case Kind::Mark:
      return is_mark(c) != negated;
    case Kind::Number:
      return is_number(c) != negated;
    case Kind::Space:
      return is_space(c) != negated;
  }
  return false;
}

BRANCHLORA_INLINE bool CharacterSet::contains(char32_t c) const {
  return std::ranges::any_of(members, [c](const Member& m) { return m.contains(c); }) != negated;
}

/// Reads a pattern; what it does not know is refused.
class PatternParser {
 public:
  PatternParser(std::string_view pattern, std::string where)
      : source_(pattern), where_(std::move(where)), pattern_(decode_utf8(pattern)) {}

  std::vector<PatternNode::Sequence> parse() {
    expect(pattern_.size() <= 4096, "{}: expected a pattern of at most 4096 characters, found {}",
           where_, pattern_.size());
    auto all = alternatives();
    if (!at_end()) refuse("a closing parenthesis that nothing opens");
    return all;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail("{}: this reader knows no {} (at character {} of the pattern '{}')", where_, what, at_,
         source_);
  }

  bool at_end() const { return at_ == pattern_.size(); }
  char32_t peek() const { return at_end() ? U'\0' : pattern_[at_]; }
  char32_t take() {
    if (at_end()) refuse("pattern that ends here");
    return pattern_[at_++];
  }
  bool take_if(std::u32string_view text) {
    if (!std::u32string_view(pattern_).substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  std::vector<PatternNode::Sequence> alternatives() {
    std::vector<PatternNode::Sequence> all(1);
    while (!at_end() && peek() != U')') {
      if (take_if(U"|")) {
        all.emplace_back();
      } else {
        all.back().push_back(repeated(node()));
      }
    }
    return all;
  }

  PatternNode node() {
    using Kind = PatternNode::Kind;
    if (take_if(U"(?:")) return group(Kind::Group, ignores_case_);
    if (take_if(U"(?i:")) return group(Kind::Group, true);
    if (take_if(U"(?=")) return group(Kind::Ahead, ignores_case_);
    if (take_if(U"(?!")) return group(Kind::NotAhead, ignores_case_);
    if (take_if(U"(?")) refuse("group of this kind");
    if (take_if(U"(")) return group(Kind::Group, ignores_case_);
    if (take_if(U"[")) return {Kind::Set, bracket(), {}};
    const char32_t c = take();
    if (std::u32string_view(U".^$*+?{").find(c) != std::u32string_view::npos) {
      refuse("bare " + encode_utf8({&c, 1}));
    }
    if (c == U'\\') return {Kind::Set, {{escape()}}, {}};
    CharacterSet set{{literal(c)}};
    if (ignores_case_) add_other_case(set, c);
    return {Kind::Set, std::move(set), {}};
  }

  PatternNode group(PatternNode::Kind kind, bool ignores_case) {
    if (++depth_ > 16) refuse("group so deep");
    const bool before = std::exchange(ignores_case_, ignores_case);
    PatternNode node{kind, {}, alternatives()};
    ignores_case_ = before;
    --depth_;
    if (!take_if(U")")) refuse("open group");
    return node;
  }

  PatternNode repeated(PatternNode node) {
    if (take_if(U"?")) {
      node.least = 0;
    } else if (take_if(U"*")) {
      node.least = 0;
      node.most = PatternNode::unlimited;
    } else if (take_if(U"+")) {
      node.most = PatternNode::unlimited;
    } else if (take_if(U"{")) {
      node.least = number();
      node.most = !take_if(U",") ? node.least : peek() == U'}' ? PatternNode::unlimited : number();
      if (!take_if(U"}") || node.least > node.most) refuse("repetition of this form");
    } else {
      return node;
    }
    if (std::u32string_view(U"?*+{").find(peek()) != std::u32string_view::npos && !at_end()) {
      refuse("lazy, possessive or double repetition");
    }
    const bool is_set = node.kind == PatternNode::Kind::Set;
    const bool is_group = node.kind == PatternNode::Kind::Group;
    if (!is_set && !(is_group && node.most == 1)) refuse("group that is repeated");
    return node;
  }

  std::size_t number() {
    std::size_t value = 0;
    const std::size_t begin = at_;
    while (peek() >= U'0' && peek() <= U'9' && at_ - begin < 4)
      value = value * 10 + (take() - U'0');
    if (at_ == begin) refuse("repetition of this form");
    return value;
  }

  static CharacterSet::Member literal(char32_t c) {
    return {CharacterSet::Kind::Range, false, c, c};
  }

  /// The cases of Latin letters; the long s and the Kelvin sign fold to s and k.
  void add_other_case(CharacterSet& set, char32_t c) const {
    if (c >= 0x80) refuse("letter outside ASCII where case is ignored");
    if (!is_letter(c)) return;
    const char32_t lower = c | 0x20U;
    set.members.push_back(literal(c ^ 0x20U));
    if (lower == U's') set.members.push_back(literal(0x17F));
    if (lower == U'k') set.members.push_back(literal(0x212A));
  }

  CharacterSet bracket() {
    CharacterSet set;
    set.negated = take_if(U"^");
    if (ignores_case_) refuse("bracket where case is ignored");
    do {
      if (peek() == U'[' || take_if(U"&&")) refuse("set inside a set");
      const char32_t c = take();
      CharacterSet::Member member = c == U'\\' ? escape() : literal(c);
      const bool is_range =
          peek() == U'-' && at_ + 1 < pattern_.size() && pattern_[at_ + 1] != U']';
      if (is_range && take_if(U"-")) {
        const char32_t last = take();
        const CharacterSet::Member end = last == U'\\' ? escape() : literal(last);
        if (member.kind != CharacterSet::Kind::Range || end.kind != CharacterSet::Kind::Range ||
            end.last < member.first) {
          refuse("range of this form");
        }
        member.last = end.last;
      }
      set.members.push_back(member);
    } while (!take_if(U"]"));
    return set;
  }

  CharacterSet::Member escape() {
    using Kind = CharacterSet::Kind;
    const char32_t c = take();
    switch (c) {
      case U'r':
        return literal(U'\r');
      case U'n':
        return literal(U'\n');
      case U't':
        return literal(U'\t');
      case U's':
        return {Kind::Space};
      case U'S':
        return {Kind::Space, true};
      case U'p':
      case U'P':
        if (take_if(U"{L}")) return {Kind::Letter, c == U'P'};
        if (take_if(U"{M}")) return {Kind::Mark, c == U'P'};
        if (take_if(U"{N}")) return {Kind::Number, c == U'P'};
        refuse("property of this name");
      default:
        if (c >= 0x80 || is_letter(c) || is_number(c)) refuse("escape of this letter");
        return literal(c);
    }
  }

  std::string_view source_;
  std::string where_;
  std::u32string pattern_;
  std::size_t at_ = 0;
  int depth_ = 0;
  bool ignores_case_ = false;
};

}  // namespace detail

BRANCHLORA_INLINE Regex::Regex(std::string_view pattern, const std::string& where)
    : alternatives_(detail::PatternParser(pattern, where).parse()) {}

BRANCHLORA_INLINE std::vector<Regex::Match> Regex::matches(std::u32string_view text) const {
  std::vector<Match> all;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = match_any(alternatives_, text, at, nullptr);
    if (end && *end > at) all.push_back({at, *end});
    at = end && *end > at ? *end : at + 1;
  }
  return all;
}

BRANCHLORA_INLINE std::optional<std::size_t> Regex::match_any(
    std::span<const Node::Sequence> alternatives, std::u32string_view text, std::size_t at,
    const Tail* tail) {
  for (const Node::Sequence& sequence : alternatives) {
    if (const auto end = match(sequence, text, at, tail)) return end;
  }
  return std::nullopt;
}

BRANCHLORA_INLINE std::optional<std::size_t> Regex::match(std::span<const Node> rest,
                                                          std::u32string_view text, std::size_t at,
                                                          const Tail* tail) {
  if (rest.empty()) return tail ? match(tail->rest, text, at, tail->next) : std::optional(at);
  const Node& node = rest.front();
  const auto after = rest.subspan(1);
  switch (node.kind) {
    case Node::Kind::Set: {
      std::size_t count = 0;
      while (count < node.most && at + count < text.size() && node.set.contains(text[at + count])) {
        ++count;
      }
      for (; count + 1 > node.least; --count) {
        if (const auto end = match(after, text, at + count, tail)) return end;
        if (count == 0) break;
      }
      return std::nullopt;
    }
    case Node::Kind::Group: {
      const Tail then{after, tail};
      if (const auto end = match_any(node.alternatives, text, at, &then)) return end;
      return node.least == 0 ? match(after, text, at, tail) : std::nullopt;
    }
    case Node::Kind::Ahead:
    case Node::Kind::NotAhead: {
      const bool found = match_any(node.alternatives, text, at, nullptr).has_value();
      const bool wanted = node.kind == Node::Kind::Ahead;
      return found == wanted ? match(after, text, at, tail) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace branchlora::data::bpe
