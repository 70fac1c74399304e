/// @file
/// A JSON value that knows where it stands, so that a message can say so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::data::detail {

using io::Json;

/// A value of a JSON file and the way to it: `train.json: sample 3: conversations[1].from`. What
/// asks for a type throws `Error` with that way if the value has another.
struct Located {
  const Json& value;
  std::string where;

  [[noreturn]] void refuse(std::string_view expected) const {
    fail("{}: expected {}, found {}", where, expected, describe());
  }

  bool has(const char* key) const { return value.contains(key); }

  /// True if there is such a field and it is not null.
  bool sets(const char* key) const {
    const auto found = value.find(key);
    return found != value.end() && !found->is_null();
  }

  Located field(const char* key, const char* separator = ": ") const {
    const auto found = value.find(key);
    expect(found != value.end(), "{}{}{}: expected a value, found none", where, separator, key);
    return {*found, where + separator + key};
  }

  Located item(std::size_t i) const { return {value[i], where + fmt::format("[{}]", i)}; }

  const Located& object() const {
    if (!value.is_object()) refuse("an object");
    return *this;
  }

  const Located& list() const {
    if (!value.is_array()) refuse("a list");
    return *this;
  }

  const std::string& text() const {
    if (!value.is_string()) refuse("a string");
    return value.get_ref<const std::string&>();
  }

  std::vector<std::string> texts() const {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < list().value.size(); ++i) all.push_back(item(i).text());
    return all;
  }

  /// A whole number from 0 to 2^31 - 1.
  Index number() const {
    constexpr Index largest = std::numeric_limits<std::int32_t>::max();
    const auto whole = [&] { return value.get<Index>(); };
    const bool fits = value.is_number_unsigned() ? value.get<std::uint64_t>() <= largest
                                                 : value.is_number_integer() && whole() >= 0;
    if (!fits) refuse(fmt::format("a whole number from 0 to {}", largest));
    return whole();
  }

  /// The boolean field `key`, or `otherwise` if it is absent or null.
  bool flag(const char* key, bool otherwise) const {
    if (!sets(key)) return otherwise;
    const Located found = field(key, ".");
    if (!found.value.is_boolean()) found.refuse("true or false");
    return found.value.get<bool>();
  }

 private:
  std::string describe() const {
    if (value.is_object() || value.is_array()) return value.type_name();
    return value.is_null() ? "null" : std::string(value.type_name()) + " " + value.dump();
  }
};

}  // namespace branchlora::data::detail
