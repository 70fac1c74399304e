/// @file
/// How tokens become text.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/utf8.hpp"
#include "branchlora/data/bpe/byte_map.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/decoder.hpp"
#include "branchlora/data/bpe/pre_tokenizer.hpp"

namespace branchlora::data::bpe {

namespace detail {

BRANCHLORA_INLINE Tokens ByteLevelDecoder::operator()(Tokens tokens) const {
  std::string bytes;
  for (const std::string& token : tokens) bytes += characters_to_bytes(token).value_or(token);
  return {valid_utf8(bytes)};
}

BRANCHLORA_INLINE Tokens ByteFallbackDecoder::operator()(const Tokens& tokens) const {
  Tokens out;
  std::string run;
  const auto flush = [&] {
    if (valid_utf8(run) == run) {
      if (!run.empty()) out.push_back(run);
    } else {
      for (std::size_t i = 0; i < run.size(); ++i) out.push_back("\uFFFD");
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const auto byte = byte_of(token)) {
      run += static_cast<char>(*byte);
    } else {
      flush();
      out.push_back(token);
    }
  }
  flush();
  return out;
}

BRANCHLORA_INLINE std::optional<unsigned char> ByteFallbackDecoder::byte_of(
    std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return {};
  unsigned char byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  return error == std::errc{} && end == token.data() + 5 ? std::optional(byte) : std::nullopt;
}

BRANCHLORA_INLINE Tokens FuseDecoder::operator()(const Tokens& tokens) const {
  return {fmt::format("{}", fmt::join(tokens, ""))};
}

BRANCHLORA_INLINE StripDecoder::StripDecoder(const Located& json)
    : character(json.field("content", ".").text()),
      start(json.field("start", ".").number()),
      stop(json.field("stop", ".").number()) {
  expect(decode_utf8(character).size() == 1, "{}: content: expected one character, found '{}'",
         json.where, character);
}

BRANCHLORA_INLINE Tokens StripDecoder::operator()(Tokens tokens) const {
  for (std::string& token : tokens) {
    for (Index i = 0; i < start && token.starts_with(character); ++i) {
      token.erase(0, character.size());
    }
    for (Index i = 0; i < stop && token.ends_with(character); ++i) {
      token.resize(token.size() - character.size());
    }
  }
  return tokens;
}

BRANCHLORA_INLINE Tokens ReplaceDecoder::operator()(Tokens tokens) const {
  for (std::string& token : tokens) token = replaced(token, from, to);
  return tokens;
}

BRANCHLORA_INLINE MetaspaceDecoder::MetaspaceDecoder(const Located& json)
    : mark(json.field("replacement", ".").text()),
      prepended(read_prepend_scheme(json) != PrependScheme::Never) {
  expect(!mark.empty(), "{}: replacement: expected a character, found none", json.where);
}

BRANCHLORA_INLINE Tokens MetaspaceDecoder::operator()(Tokens tokens) const {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = replaced(tokens[i], mark, i == 0 && prepended ? "" : " ");
  }
  return tokens;
}

}  // namespace detail

BRANCHLORA_INLINE Decoder::Decoder(const Located& root)
    : joins_with_spaces_(!root.sets("decoder")) {
  for_each_component(
      root, "decoder", "decoders", [this](const Located& part, const std::string& type) {
        if (type == "ByteLevel") {
          steps_.push_back(detail::ByteLevelDecoder{});
        } else if (type == "ByteFallback") {
          steps_.push_back(detail::ByteFallbackDecoder{});
        } else if (type == "Fuse") {
          steps_.push_back(detail::FuseDecoder{});
        } else if (type == "Strip") {
          steps_.push_back(detail::StripDecoder(part));
        } else if (type == "Replace") {
          steps_.push_back(
              detail::ReplaceDecoder{plain_pattern(part), part.field("content", ".").text()});
        } else if (type == "Metaspace") {
          steps_.push_back(detail::MetaspaceDecoder(part));
        } else {
          refuse_type(part, type,
                      "the decoders ByteLevel, ByteFallback, Fuse, Strip, Replace, Metaspace");
        }
      });
}

BRANCHLORA_INLINE std::string Decoder::operator()(std::vector<std::string> tokens) const {
  for (const auto& step : steps_) {
    tokens = std::visit([&](const auto& s) { return s(std::move(tokens)); }, step);
  }
  return fmt::format("{}", fmt::join(tokens, joins_with_spaces_ ? " " : ""));
}

}  // namespace branchlora::data::bpe
