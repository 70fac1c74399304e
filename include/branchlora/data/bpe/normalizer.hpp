/// @file
/// What a tokenizer does to text before it cuts it.
#pragma once

#include <string>
#include <utility>
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
  explicit Normalizer(const Located& root) {
    for_each_component(
        root, "normalizer", "normalizers", [this](const Located& part, const std::string& type) {
          if (type == "Prepend") {
            steps_.push_back(Prepend{part.field("prepend", ".").text()});
          } else if (type == "Replace") {
            steps_.push_back(Replace{plain_pattern(part), part.field("content", ".").text()});
          } else if (type == "NFC") {
            steps_.push_back(Nfc{});
          } else {
            refuse_type(part, type, "the normalizers Prepend, Replace, NFC");
          }
        });
  }

  /// `text`, changed.
  std::string operator()(std::string text) const {
    for (const auto& step : steps_) text = std::visit([&](const auto& s) { return s(text); }, step);
    return text;
  }

 private:
  struct Prepend {
    std::string prefix;
    std::string operator()(const std::string& text) const {
      return text.empty() ? text : prefix + text;
    }
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
