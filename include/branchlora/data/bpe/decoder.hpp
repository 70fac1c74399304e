/// @file
/// From tokens back to text.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/data/bpe/component.hpp"

namespace branchlora::data::bpe {

namespace detail {

using Tokens = std::vector<std::string>;

/// `ByteLevel`: characters become bytes. A token with a character of no byte stays as it is, and
/// what is not UTF-8 then becomes replacement characters.
struct ByteLevelDecoder {
  Tokens operator()(Tokens tokens) const;
};

/// `ByteFallback`: runs of tokens `<0xNN>` become the text that they are, or as many replacement
/// characters if they are none.
struct ByteFallbackDecoder {
  Tokens operator()(const Tokens& tokens) const;

 private:
  static std::optional<unsigned char> byte_of(std::string_view token);
};

/// `Fuse`: all tokens become one.
struct FuseDecoder {
  Tokens operator()(const Tokens& tokens) const;
};

/// `Strip`: a character goes, up to so many times at the start and end of each token.
struct StripDecoder {
  std::string character;
  Index start;
  Index stop;

  explicit StripDecoder(const Located& json);

  Tokens operator()(Tokens tokens) const;
};

/// `Replace`: within each token.
struct ReplaceDecoder {
  std::string from;
  std::string to;

  Tokens operator()(Tokens tokens) const;
};

/// `Metaspace`: marks become spaces, but for those of the first token, which encoding has put
/// there.
struct MetaspaceDecoder {
  std::string mark;
  bool prepended;

  explicit MetaspaceDecoder(const Located& json);

  Tokens operator()(Tokens tokens) const;
};

}  // namespace detail

/// The `decoder` of a tokenizer.json.
class Decoder {
 public:
  /// Reads `root.decoder`. Throws `Error` naming a type that is not known.
  explicit Decoder(const Located& root);

  /// The text of `tokens`. Without a decoder they are joined by spaces.
  std::string operator()(std::vector<std::string> tokens) const;

 private:
  std::vector<
      std::variant<detail::ByteLevelDecoder, detail::ByteFallbackDecoder, detail::FuseDecoder,
                   detail::StripDecoder, detail::ReplaceDecoder, detail::MetaspaceDecoder>>
      steps_;
  bool joins_with_spaces_;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/decoder-inl.hpp"
#endif
