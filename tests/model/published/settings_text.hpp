/// @file
/// A published config.json with some settings changed.
#pragma once

#include <nlohmann/json.hpp>

#include "branchlora/io/json.hpp"

namespace branchlora::test {

/// `text` with the settings of `changes` in place of its own; objects are merged, null takes a
/// setting away.
inline io::Json with_changes(const char* text, const char* changes) {
  io::Json json = io::parse_json(text, "text");
  const io::Json changed = io::parse_json(changes, "changes");
  for (const auto& [key, value] : changed.items()) {
    value.is_object() ? json[key].update(value) : void(json[key] = value);
  }
  return json;
}

}  // namespace branchlora::test
