/// @file
/// How special tokens are put around a text.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/data/bpe/post_processor.hpp"

namespace branchlora::data::bpe {

BRANCHLORA_INLINE PostProcessor::PostProcessor(const Located& root) {
  for_each_component(
      root, "post_processor", "processors", [this](const Located& part, const std::string& type) {
        if (type == "TemplateProcessing") {
          read_template(part);
        } else if (type != "ByteLevel") {  // which only moves offsets
          refuse_type(part, type, "the post-processors TemplateProcessing, ByteLevel");
        }
      });
}

BRANCHLORA_INLINE std::vector<Index> PostProcessor::operator()(std::vector<Index> ids) const {
  ids.insert(ids.begin(), before_.begin(), before_.end());
  ids.insert(ids.end(), after_.begin(), after_.end());
  return ids;
}

BRANCHLORA_INLINE void PostProcessor::read_template(const Located& json) {
  const Located single = json.field("single", ".");
  std::vector<Index> before;
  std::vector<Index> after;
  std::size_t texts = 0;
  for (std::size_t i = 0; i < single.list().value.size(); ++i) {
    const Located part = single.item(i);
    if (part.object().has("Sequence")) {
      ++texts;
      continue;
    }
    const std::string& name = part.field("SpecialToken", ".").object().field("id", ".").text();
    const Located token = json.field("special_tokens", ".").object().field(name.c_str(), ".");
    const Located ids = token.object().field("ids", ".");
    for (std::size_t k = 0; k < ids.list().value.size(); ++k) {
      (texts == 0 ? before : after).push_back(ids.item(k).number());
    }
  }
  if (texts != 1) {
    fail("{}: expected the text once, found it {} times", single.where, texts);
  }
  before_.insert(before_.begin(), before.begin(), before.end());
  after_.insert(after_.end(), after.begin(), after.end());
}

}  // namespace branchlora::data::bpe
