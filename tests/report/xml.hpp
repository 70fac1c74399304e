/// @file
/// A strict reader of the XML that our pictures use, for the tests of this folder.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>
#include <vector>

namespace branchlora::report::test {

/// What is wrong with `xml`, or "" if it is one well-formed element: tags closed in order,
/// attributes quoted and without `<`, no attribute twice, `&` only in the entities that we write.
inline std::string xml_error(std::string_view xml) {
  const auto entities_valid = [](std::string_view text) {
    for (std::size_t at = text.find('&'); at != text.npos; at = text.find('&', at + 1)) {
      const std::string_view rest = text.substr(at);
      bool known = false;
      for (const std::string_view entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
        known = known || rest.starts_with(entity);
      if (!known) return false;
    }
    return true;
  };
  std::vector<std::string_view> open;
  bool had_root = false;
  while (!xml.empty()) {
    const std::size_t tag = std::min(xml.find('<'), xml.size());
    const std::string_view text = xml.substr(0, tag);
    if (!entities_valid(text)) return "bad entity in: " + std::string(text);
    if (open.empty() && text.find_first_not_of(" \n") != text.npos) return "text outside the root";
    xml.remove_prefix(tag);
    if (xml.empty()) break;

    std::size_t end = 1;
    for (bool quoted = false; end < xml.size() && (quoted || xml[end] != '>'); ++end) {
      if (xml[end] == '"') quoted = !quoted;
      if (xml[end] == '<') return "< inside a tag";
    }
    if (end == xml.size()) return "unfinished tag";
    std::string_view body = xml.substr(1, end - 1);
    xml.remove_prefix(end + 1);

    if (body.starts_with('/')) {
      if (open.empty() || open.back() != body.substr(1)) return "stray </" + std::string(body);
      open.pop_back();
      continue;
    }
    const bool self_closing = body.ends_with('/');
    if (self_closing) body.remove_suffix(1);
    const std::size_t name_end = std::min(body.find(' '), body.size());
    const std::string_view name = body.substr(0, name_end);
    if (open.empty() && had_root) return "second root";
    had_root = true;
    body.remove_prefix(name_end);
    std::vector<std::string_view> keys;
    while (body.find_first_not_of(' ') != body.npos) {
      body.remove_prefix(body.find_first_not_of(' '));
      const std::size_t equals = body.find("=\"");
      if (equals == body.npos) return "bad attribute: " + std::string(body);
      const std::string_view key = body.substr(0, equals);
      for (const char c : key)
        if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-')
          return "bad attribute name: " + std::string(key);
      for (const std::string_view other : keys)
        if (other == key) return "attribute twice: " + std::string(key);
      keys.push_back(key);
      const std::size_t close = body.find('"', equals + 2);
      if (close == body.npos) return "unfinished attribute";
      if (!entities_valid(body.substr(equals + 2, close - equals - 2))) return "bad entity";
      body.remove_prefix(close + 1);
    }
    if (!self_closing) open.push_back(name);
  }
  if (!open.empty()) return "not closed: " + std::string(open.back());
  return had_root ? "" : "no element";
}

/// How often `part` occurs in `text`.
inline int count(std::string_view text, std::string_view part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + part.size()))
    ++n;
  return n;
}

}  // namespace branchlora::report::test
