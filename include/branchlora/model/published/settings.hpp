/// @file
/// The settings of a published model: an object of `config.json`, of which nothing goes unread.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "branchlora/core/matrix.hpp"

namespace branchlora::model::published {

/// More blocks than any published model has.
inline constexpr Index most_blocks = 10'000;

/// One object of a `config.json`, read setting by setting. A setting that is null is absent.
/// Every message begins with `where`: the file, and the path of the object within it. What a
/// setting can be, T, is an Index, a double, a bool or a string.
class Settings {
 public:
  /// Throws `Error` if `json` is no object.
  Settings(const nlohmann::json& json, std::string where);

  const std::string& where() const { return where_; }
  bool has(std::string_view key) const;

  /// The setting `key`, or `otherwise` if it is absent. Throws `Error` if it is of another type.
  template <class T>
  T take(std::string_view key, T otherwise);

  /// The same for a whole number from 1 to `most`: a size or a count. The product of two fits.
  Index take_size(std::string_view key, Index otherwise,
                  Index most = std::numeric_limits<std::int32_t>::max());

  /// The same for a number above 0.
  double take_positive(std::string_view key, double otherwise);

  /// Throws `Error` unless the setting `key` is `only`, which it is if absent.
  template <class T>
  void expect_only(std::string_view key, const T& only);

  /// The object `key`. Throws `Error` if it is absent.
  Settings object(std::string_view key);

  /// Marks a setting as read, whatever it is: of a part that is not opened.
  void pass(std::string_view key);

  /// Whether all that `other` says is said here too.
  bool includes(const Settings& other) const;

  /// Throws `Error` naming a setting that was not read, is not null and not `harmless_settings`.
  void expect_no_other() const;

 private:
  const nlohmann::json* find(std::string_view key) const;

  const nlohmann::json* taken(std::string_view key);

  template <class T>
  T convert(std::string_view key, const nlohmann::json& value) const;

  const nlohmann::json* json_;
  std::string where_;
  std::vector<std::string> taken_;
};

}  // namespace branchlora::model::published

#ifndef BRANCHLORA_COMPILED
#include "branchlora/model/published/settings-inl.hpp"
#endif
