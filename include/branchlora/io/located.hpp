/// @file
/// A JSON value that knows where it stands, so that a message can say so.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::io {

/// A value of a JSON file and the way to it: `train.json: sample 3: conversations[1].from`. What
/// asks for a type throws `Error` with that way if the value has another.
struct Located {
  const Json& value;
  std::string where;

  /// Throws `Error`: "<where>: expected <expected>, found <what the value is>".
  [[noreturn]] void refuse(std::string_view expected) const;

  /// True if there is such a field.
  bool has(const char* key) const;

  /// True if there is such a field and it is not null.
  bool sets(const char* key) const;

  /// The value of the field `key`, which must be there.
  Located field(const char* key, const char* separator = ": ") const;

  /// Item `i` of a list.
  Located item(std::size_t i) const;

  /// This value, if it is an object.
  const Located& object() const;

  /// This value, if it is a list.
  const Located& list() const;

  /// The string that this is.
  const std::string& text() const;

  /// The strings of the list that this is.
  std::vector<std::string> texts() const;

  /// A whole number from 0 to 2^31 - 1.
  Index number() const;

  /// The boolean field `key`, or `otherwise` if it is absent or null.
  bool flag(const char* key, bool otherwise) const;

 private:
  std::string describe() const;
};

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/located-inl.hpp"
#endif
