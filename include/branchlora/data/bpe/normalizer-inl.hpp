/// @file
/// How a normaliser is read.
#pragma once

#include <string>
#include <variant>

#include "branchlora/core/inline.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/nfc.hpp"
#include "branchlora/data/bpe/normalizer.hpp"

namespace branchlora::data::bpe {

BRANCHLORA_INLINE Normalizer::Normalizer(const Located& root) {
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

BRANCHLORA_INLINE std::string Normalizer::operator()(std::string text) const {
  for (const auto& step : steps_) text = std::visit([&](const auto& s) { return s(text); }, step);
  return text;
}

BRANCHLORA_INLINE std::string Normalizer::Prepend::operator()(const std::string& text) const {
  return text.empty() ? text : prefix + text;
}

}  // namespace branchlora::data::bpe
