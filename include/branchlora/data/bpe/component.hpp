/// @file
/// What the parts of a `tokenizer.json` have in common.
#pragma once

#include <cstddef>
#include <string>

#include "branchlora/core/error.hpp"
#include "branchlora/data/located.hpp"

namespace branchlora::data::bpe {

using data::detail::Located;

/// Calls `use(part, type)` for the component at `owner[key]`, or for each of `parts` if it is a
/// `Sequence`; not at all if it is null or absent. Throws `Error` if one has no type.
void for_each_component(const Located& owner, const char* key, const char* parts, auto use) {
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

/// Refuses a component by its name.
[[noreturn]] inline void refuse_type(const Located& component, const std::string& type,
                                     const char* known) {
  fail("{}: expected one of {}, found '{}'", component.where, known, type);
}

/// The string that `pattern` of `component` stands for: `{"String": "..."}`.
inline const std::string& plain_pattern(const Located& component) {
  const Located pattern = component.field("pattern", ".");
  if (!pattern.object().has("String")) pattern.refuse("a pattern of kind \"String\"");
  const std::string& text = pattern.field("String", ".").text();
  expect(!text.empty(), "{}: expected a pattern, found an empty one", pattern.where);
  return text;
}

/// `text` with each `from`, which is not empty, replaced by `to`.
inline std::string replaced(const std::string& text, const std::string& from,
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
