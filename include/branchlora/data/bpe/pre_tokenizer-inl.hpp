/// @file
/// How text is cut into pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/byte_map.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/pre_tokenizer.hpp"
#include "branchlora/data/bpe/regex.hpp"

namespace branchlora::data::bpe {

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

BRANCHLORA_INLINE Split::Split(const Located& json)
    : regex(pattern(json), json.where), inverted(json.flag("invert", false)) {
  const Located behavior = json.field("behavior", ".");
  removes = behavior.text() == "Removed";
  if (!removes && behavior.text() != "Isolated") behavior.refuse("\"Isolated\" or \"Removed\"");
}

BRANCHLORA_INLINE void Split::operator()(const Piece& piece, std::vector<Piece>& out) const {
  bool first = piece.first;
  for_each_part(regex, piece.text, [&](std::string part, bool matched) {
    if (!removes || matched == inverted) out.push_back({std::move(part), first});
    first = false;
  });
}

BRANCHLORA_INLINE std::string Split::pattern(const Located& json) {
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

BRANCHLORA_INLINE Digits::Digits(const Located& json)
    : regex(json.flag("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)") {}

BRANCHLORA_INLINE void Digits::operator()(const Piece& piece, std::vector<Piece>& out) const {
  bool first = piece.first;
  for_each_part(regex, piece.text, [&](std::string part, bool) {
    out.push_back({std::move(part), std::exchange(first, false)});
  });
}

BRANCHLORA_INLINE ByteLevel::ByteLevel(const Located& json)
    : adds_space(json.flag("add_prefix_space", true)), cuts(json.flag("use_regex", true)) {}

BRANCHLORA_INLINE void ByteLevel::operator()(const Piece& piece, std::vector<Piece>& out) const {
  const std::string text =
      adds_space && !piece.text.starts_with(' ') ? " " + piece.text : piece.text;
  if (!cuts) return out.push_back({bytes_to_characters(text), piece.first});
  bool first = piece.first;
  for_each_part(regex, text, [&](const std::string& part, bool) {
    out.push_back({bytes_to_characters(part), std::exchange(first, false)});
  });
}

}  // namespace detail

BRANCHLORA_INLINE PrependScheme read_prepend_scheme(const Located& json) {
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

BRANCHLORA_INLINE Metaspace::Metaspace(const Located& json)
    : mark(json.field("replacement", ".").text()),
      prepend(read_prepend_scheme(json)),
      cuts(json.flag("split", true)) {
  expect(decode_utf8(mark).size() == 1, "{}: replacement: expected one character, found '{}'",
         json.where, mark);
}

BRANCHLORA_INLINE void Metaspace::operator()(const Piece& piece, std::vector<Piece>& out) const {
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

}  // namespace detail

BRANCHLORA_INLINE PreTokenizer::PreTokenizer(const Located& root) {
  for_each_component(
      root, "pre_tokenizer", "pretokenizers", [this](const Located& part, const std::string& type) {
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
          refuse_type(part, type, "the pre-tokenizers Split, Digits, ByteLevel, Metaspace");
        }
      });
}

BRANCHLORA_INLINE std::vector<Piece> PreTokenizer::operator()(Piece piece) const {
  std::vector<Piece> pieces;
  if (!piece.text.empty()) pieces.push_back(std::move(piece));
  for (const auto& step : steps_) {
    std::vector<Piece> cut;
    for (const Piece& p : pieces) std::visit([&](const auto& s) { s(p, cut); }, step);
    pieces = std::move(cut);
  }
  return pieces;
}

}  // namespace branchlora::data::bpe
