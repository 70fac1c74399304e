/// @file
/// How the parts of a tokenizer.json read what they have in common.
#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/data/bpe/component.hpp"
#include "branchlora/io/located.hpp"

namespace branchlora::data::bpe {

BRANCHLORA_INLINE void for_each_component(const Located& owner, const char* key, const char* parts,
                                          const UseComponent& use) {
  if (!owner.sets(key)) return;
  const Located component = owner.field(key);
  const std::string& type = component.object().field("type", ".").text();
  if (type != "Sequence") return use(component, type);
  const Located list = component.field(parts, ".");
  for (std::size_t i = 0; i < list.list().value.size(); ++i) {
    const Located part = list.item(i);
    use(part, part.object().field("type", ".").text());
  }
}

BRANCHLORA_INLINE void refuse_type(const Located& component, const std::string& type,
                                   const char* known) {
  fail("{}: expected one of {}, found '{}'", component.where, known, type);
}

BRANCHLORA_INLINE const std::string& plain_pattern(const Located& component) {
  const Located pattern = component.field("pattern", ".");
  if (!pattern.object().has("String")) pattern.refuse("a pattern of kind \"String\"");
  const std::string& text = pattern.field("String", ".").text();
  expect(!text.empty(), "{}: expected a pattern, found an empty one", pattern.where);
  return text;
}

BRANCHLORA_INLINE std::string replaced(const std::string& text, const std::string& from,
                                       const std::string& to) {
  std::string out;
  std::size_t begin = 0;
  for (auto at = text.find(from); at != text.npos; at = text.find(from, begin)) {
    out.append(text, begin, at - begin).append(to);
    begin = at + from.size();
  }
  return out.append(text, begin);
}

}  // namespace branchlora::data::bpe
