/// @file
/// How JSON values are asked for their type.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/located.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE void Located::refuse(std::string_view expected) const {
  fail("{}: expected {}, found {}", where, expected, describe());
}

BRANCHLORA_INLINE bool Located::has(const char* key) const { return value.contains(key); }

BRANCHLORA_INLINE bool Located::sets(const char* key) const {
  const auto found = value.find(key);
  return found != value.end() && !found->is_null();
}

BRANCHLORA_INLINE Located Located::field(const char* key, const char* separator) const {
  const auto found = value.find(key);
  expect(found != value.end(), "{}{}{}: expected a value, found none", where, separator, key);
  return {*found, where + separator + key};
}

BRANCHLORA_INLINE Located Located::item(std::size_t i) const {
  return {value[i], where + fmt::format("[{}]", i)};
}

BRANCHLORA_INLINE const Located& Located::object() const {
  if (!value.is_object()) refuse("an object");
  return *this;
}

BRANCHLORA_INLINE const Located& Located::list() const {
  if (!value.is_array()) refuse("a list");
  return *this;
}

BRANCHLORA_INLINE const std::string& Located::text() const {
  if (!value.is_string()) refuse("a string");
  return value.get_ref<const std::string&>();
}

BRANCHLORA_INLINE std::vector<std::string> Located::texts() const {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < list().value.size(); ++i) all.push_back(item(i).text());
  return all;
}

BRANCHLORA_INLINE Index Located::number() const {
  constexpr Index largest = std::numeric_limits<std::int32_t>::max();
  const auto whole = [&] { return value.get<Index>(); };
  const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= largest
                                               : value.is_number_integer() && whole() >= 0;
  if (!fits) refuse(fmt::format("a whole number from 0 to {}", largest));
  return whole();
}

BRANCHLORA_INLINE bool Located::flag(const char* key, bool otherwise) const {
  if (!sets(key)) return otherwise;
  const Located found = field(key, ".");
  if (!found.value.is_boolean()) found.refuse("true or false");
  return found.value.get<bool>();
}

BRANCHLORA_INLINE std::string Located::describe() const {
  if (value.is_object() || value.is_array()) return value.type_name();
  return value.is_null() ? "null" : std::string(value.type_name()) + " " + value.dump();
}

}  // namespace branchlora::io
