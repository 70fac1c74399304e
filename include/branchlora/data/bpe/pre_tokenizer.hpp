/// @file
/// How a tokenizer cuts text into the pieces within which tokens are merged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "branchlora/data/bpe/byte_map.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/regex.hpp"
#include "branchlora/data/bpe/utf8.hpp"

namespace branchlora::data::bpe {

/// A piece of text, and whether the whole text begins with it.
struct Piece {
  std::string text;
  bool first = false;
};

namespace detail {

/// The matches of `regex` in `text` and what lies between them, in order.
void for_each_part(const Regex& regex, const std::string& text, auto use) {
  const std::u32string points = decode_utf8(text);
  const std::u32string_view view = points;
  std::size_t at = 0;
  for (const auto [begin, end] : regex.matches(view)) {
    if (at < begin) use(encode_utf8(view.substr(at, begin - at)), false);
    use(encode_utf8(view.substr(begin, end - begin)), true);
    at = end;
  }
  if (at < view.size()) use(encode_utf8(view.substr(at)), false);
}

/// `Split`: by a pattern, whose matches (or, inverted, what lies between) are kept or removed.
struct Split {
  Regex regex;
  bool removes;
  bool inverted;

  explicit Split(const Located& json)
      : regex(pattern(json), json.where), inverted(json.flag("invert", false)) {
    const Located behavior = json.field("behavior", ".");
    removes = behavior.text() == "Removed";
    if (!removes && behavior.text() != "Isolated") behavior.refuse("\"Isolated\" or \"Removed\"");
  }

  void operator()(const Piece& piece, std::vector<Piece>& out) const {
    bool first = piece.first;
    for_each_part(regex, piece.text, [&](std::string part, bool matched) {
      if (!removes || matched == inverted) out.push_back({std::move(part), first});
      first = false;
    });
  }

 private:
  static std::string pattern(const Located& json) {
    const Located kind = json.field("pattern", ".");
    if (kind.object().has("Regex")) return kind.field("Regex", ".").text();
    std::string escaped;
    for (const char c : plain_pattern(json)) {
      const bool special = std::string_view(R"(\.^$*+?{}()[]|)").find(c) != std::string_view::npos;
      if (special) escaped += '\\';
      escaped += c;
    }
    return escaped;
  }
};

/// `Digits`: numbers apart from the rest, each digit for itself or in runs.
struct Digits {
  Regex regex;

  explicit Digits(const Located& json)
      : regex(json.flag("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)") {}

  void operator()(const Piece& piece, std::vector<Piece>& out) const {
    bool first = piece.first;
    for_each_part(regex, piece.text, [&](std::string part, bool) {
      out.push_back({std::move(part), std::exchange(first, false)});
    });
  }
};

/// `ByteLevel`: cut by GPT-2's pattern if so wanted, and each byte written as a character.
struct ByteLevel {
  bool adds_space;
  bool cuts;
  Regex regex{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"};

  explicit ByteLevel(const Located& json)
      : adds_space(json.flag("add_prefix_space", true)), cuts(json.flag("use_regex", true)) {}

  void operator()(const Piece& piece, std::vector<Piece>& out) const {
    const std::string text =
        adds_space && !piece.text.starts_with(' ') ? " " + piece.text : piece.text;
    if (!cuts) return out.push_back({bytes_to_characters(text), piece.first});
    bool first = piece.first;
    for_each_part(regex, text, [&](const std::string& part, bool) {
      out.push_back({bytes_to_characters(part), std::exchange(first, false)});
    });
  }
};

}  // namespace detail

/// Where the mark for a space is put before text that lacks it.
enum class PrependScheme { Always, First, Never };

/// Reads `prepend_scheme`, or `add_prefix_space` of older files.
inline PrependScheme read_prepend_scheme(const Located& json) {
  if (!json.sets("prepend_scheme")) {
    return json.flag("add_prefix_space", true) ? PrependScheme::Always : PrependScheme::Never;
  }
  const Located scheme = json.field("prepend_scheme", ".");
  if (scheme.text() == "always") return PrependScheme::Always;
  if (scheme.text() == "first") return PrependScheme::First;
  if (scheme.text() == "never") return PrependScheme::Never;
  scheme.refuse("\"always\", \"first\" or \"never\"");
}

namespace detail {

/// `Metaspace`: spaces become a mark, and each mark begins a piece.
struct Metaspace {
  std::string mark;
  PrependScheme prepend;
  bool cuts;

  explicit Metaspace(const Located& json)
      : mark(json.field("replacement", ".").text()),
        prepend(read_prepend_scheme(json)),
        cuts(json.flag("split", true)) {
    expect(decode_utf8(mark).size() == 1, "{}: replacement: expected one character, found '{}'",
           json.where, mark);
  }

  void operator()(const Piece& piece, std::vector<Piece>& out) const {
    std::string text = replaced(piece.text, " ", mark);
    const bool wants_mark =
        prepend == PrependScheme::Always || (prepend == PrependScheme::First && piece.first);
    if (wants_mark && !text.starts_with(mark)) text.insert(0, mark);
    if (!cuts) return out.push_back({std::move(text), piece.first});
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(mark, begin + 1), text.size());
      out.push_back({text.substr(begin, end - begin), piece.first && begin == 0});
      begin = end;
    }
  }
};

}  // namespace detail

/// The `pre_tokenizer` of a tokenizer.json.
class PreTokenizer {
 public:
  /// Leaves text in one piece.
  PreTokenizer() = default;

  /// Reads `root.pre_tokenizer`. Throws `Error` naming a type or pattern that is not known.
  explicit PreTokenizer(const Located& root) {
    for_each_component(root, "pre_tokenizer", "pretokenizers",
                       [this](const Located& part, const std::string& type) {
                         if (type == "Split") {
                           steps_.push_back(detail::Split(part));
                         } else if (type == "Digits") {
                           steps_.push_back(detail::Digits(part));
                         } else if (type == "ByteLevel") {
                           steps_.push_back(detail::ByteLevel(part));
                           byte_level_ = true;
                         } else if (type == "Metaspace") {
                           steps_.push_back(detail::Metaspace(part));
                         } else {
                           refuse_type(part, type,
                                       "the pre-tokenizers Split, Digits, ByteLevel, Metaspace");
                         }
                       });
  }

  /// The pieces of `piece`, none empty.
  std::vector<Piece> operator()(Piece piece) const {
    std::vector<Piece> pieces;
    if (!piece.text.empty()) pieces.push_back(std::move(piece));
    for (const auto& step : steps_) {
      std::vector<Piece> cut;
      for (const Piece& p : pieces) std::visit([&](const auto& s) { s(p, cut); }, step);
      pieces = std::move(cut);
    }
    return pieces;
  }

  /// True if bytes become characters (`byte_characters`).
  bool byte_level() const { return byte_level_; }

 private:
  std::vector<std::variant<detail::Split, detail::Digits, detail::ByteLevel, detail::Metaspace>>
      steps_;
  bool byte_level_ = false;
};

}  // namespace branchlora::data::bpe
