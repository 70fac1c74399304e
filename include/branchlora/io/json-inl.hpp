/// @file
/// How JSON is parsed.
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE Json parse_json(std::string_view text, std::string_view name) {
  // nlohmann's parser takes a zero byte for the end and would ignore what follows.
  expect(text.find('\0') == text.npos, "{}: expected valid JSON, found a zero byte", name);
  std::vector<std::unordered_set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      expect(keys.back().insert(key).second, "{}: key '{}' appears twice in one object", name, key);
    }
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& e) {
    // What follows the library's own "[json.exception.<kind>.<number>] " is for people.
    std::string_view reason = e.what();
    if (const auto end = reason.find("] "); end != reason.npos) reason.remove_prefix(end + 2);
    fail("{}: expected valid JSON, found: {}", name, reason);
  }
}

BRANCHLORA_INLINE Json read_json(const std::filesystem::path& path) {
  return parse_json(read_file(path), path.string());
}

}  // namespace branchlora::io
