/// @file
/// From tokens back to text.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "branchlora/data/bpe/byte_map.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/pre_tokenizer.hpp"
#include "branchlora/data/bpe/utf8.hpp"

namespace branchlora::data::bpe {

namespace detail {

using Tokens = std::vector<std::string>;

/// `ByteLevel`: characters become bytes. A token with a character of no byte stays as it is, and
/// what is not UTF-8 then becomes replacement characters.
struct ByteLevelDecoder {
  Tokens operator()(Tokens tokens) const {
    std::string bytes;
    for (const std::string& token : tokens) bytes += characters_to_bytes(token).value_or(token);
    return {valid_utf8(bytes)};
  }
};

/// `ByteFallback`: runs of tokens `<0xNN>` become the text that they are, or as many replacement
/// characters if they are none.
struct ByteFallbackDecoder {
  Tokens operator()(const Tokens& tokens) const {
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

 private:
  static std::optional<unsigned char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return {};
    unsigned char byte = 0;
    const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
    return error == std::errc{} && end == token.data() + 5 ? std::optional(byte) : std::nullopt;
  }
};

/// `Fuse`: all tokens become one.
struct FuseDecoder {
  Tokens operator()(const Tokens& tokens) const {
    return {fmt::format("{}", fmt::join(tokens, ""))};
  }
};

/// `Strip`: a character goes, up to so many times at the start and end of each token.
struct StripDecoder {
  std::string character;
  Index start;
  Index stop;

  explicit StripDecoder(const Located& json)
      : character(json.field("content", ".").text()),
        start(json.field("start", ".").number()),
        stop(json.field("stop", ".").number()) {
    expect(decode_utf8(character).size() == 1, "{}: content: expected one character, found '{}'",
           json.where, character);
  }

  Tokens operator()(Tokens tokens) const {
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
};

/// `Replace`: within each token.
struct ReplaceDecoder {
  std::string from;
  std::string to;

  Tokens operator()(Tokens tokens) const {
    for (std::string& token : tokens) token = replaced(token, from, to);
    return tokens;
  }
};

/// `Metaspace`: marks become spaces, but for those of the first token, which encoding has put
/// there.
struct MetaspaceDecoder {
  std::string mark;
  bool prepended;

  explicit MetaspaceDecoder(const Located& json)
      : mark(json.field("replacement", ".").text()),
        prepended(read_prepend_scheme(json) != PrependScheme::Never) {
    expect(!mark.empty(), "{}: replacement: expected a character, found none", json.where);
  }

  Tokens operator()(Tokens tokens) const {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replaced(tokens[i], mark, i == 0 && prepended ? "" : " ");
    }
    return tokens;
  }
};

}  // namespace detail

/// The `decoder` of a tokenizer.json.
class Decoder {
 public:
  /// Reads `root.decoder`. Throws `Error` naming a type that is not known.
  explicit Decoder(const Located& root) : joins_with_spaces_(!root.sets("decoder")) {
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

  /// The text of `tokens`. Without a decoder they are joined by spaces.
  std::string operator()(std::vector<std::string> tokens) const {
    for (const auto& step : steps_) {
      tokens = std::visit([&](const auto& s) { return s(std::move(tokens)); }, step);
    }
    return fmt::format("{}", fmt::join(tokens, joins_with_spaces_ ? " " : ""));
  }

 private:
  std::vector<
      std::variant<detail::ByteLevelDecoder, detail::ByteFallbackDecoder, detail::FuseDecoder,
                   detail::StripDecoder, detail::ReplaceDecoder, detail::MetaspaceDecoder>>
      steps_;
  bool joins_with_spaces_;
};

}  // namespace branchlora::data::bpe
