/// @file
/// What a tokenizer does to text before it cuts it.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/nfc.hpp"

namespace branchlora::data::bpe {

/// The `normalizer` of a tokenizer.json.
class Normalizer {
 public:
  /// Changes nothing.
  Normalizer() = default;

  /// Reads `root.normalizer`. Throws `Error` naming a type that is not known.
  explicit Normalizer(const Located& root);

  /// `text`, changed.
  std::string operator()(std::string text) const;

 private:
  struct Prepend {
    std::string prefix;
    std::string operator()(const std::string& text) const;
  };
  struct Replace {
    std::string from;
    std::string to;
    std::string operator()(const std::string& text) const { return replaced(text, from, to); }
  };
  struct Nfc {
    std::string operator()(const std::string& text) const { return nfc(std::string_view(text)); }
  };

  std::vector<std::variant<Prepend, Replace, Nfc>> steps_;
};

}  // namespace branchlora::data::bpe

#ifndef BRANCHLORA_COMPILED
#include "branchlora/data/bpe/normalizer-inl.hpp"
#endif
