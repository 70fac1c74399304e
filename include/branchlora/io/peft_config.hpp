/// @file
/// The settings of a PEFT adapter: `adapter_config.json` of the LoRA family.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "branchlora/core/matrix.hpp"
#include "branchlora/io/json.hpp"

namespace branchlora::io {

/// The settings that decide what a LoRA, rsLoRA or DoRA adapter computes and where:
/// delta = s B A, with s = alpha / r, or alpha / sqrt(r) with `use_rslora`.
struct PeftConfig {
  Index r = 8;
  double lora_alpha = 8;
  double lora_dropout = 0;
  bool use_rslora = false;
  bool use_dora = false;
  bool fan_in_fan_out = false;  ///< The base weight is stored transposed; A and B are not.
  /// Names, each the path of a module or the end of it after a dot; or one regular expression.
  std::variant<std::vector<std::string>, std::string> target_modules;
  /// Rank and alpha of modules that have others than `r` and `lora_alpha`, by name.
  std::map<std::string, Index> rank_pattern;
  std::map<std::string, double> alpha_pattern;
  std::string base_model_name_or_path;
  std::string task_type;
  std::string peft_version;  ///< Of the PEFT that wrote it, if one did.

  /// The rank of the module `path`.
  Index rank_of(std::string_view path) const { return find(rank_pattern, path, r); }
  /// The alpha of the module `path`.
  double alpha_of(std::string_view path) const { return find(alpha_pattern, path, lora_alpha); }
  /// The factor s of the module `path`.
  double scale_of(std::string_view path) const;
  /// Whether `target_modules` names the module `path`. A regular expression is taken to.
  bool targets(std::string_view path) const;

  bool operator==(const PeftConfig&) const = default;

 private:
  /// Whether `name` is `path` or its end after a dot; only the former where it begins with "^".
  static bool matches(std::string_view name, std::string_view path);
  template <class T>
  static T find(const std::map<std::string, T>& pattern, std::string_view path, T otherwise) {
    const auto found = std::ranges::find_if(
        pattern, [&](const auto& entry) { return matches(entry.first, path); });
    return found == pattern.end() ? otherwise : found->second;
  }
};

/// The settings that `json`, read from the file `name`, holds. Throws `Error` naming the file and
/// the setting where one is unknown and not off, unsupported, or of another type.
PeftConfig parse_peft_config(const Json& json, std::string_view name);

/// `config` as PEFT writes it. Settings that it leaves out have PEFT's defaults.
Json to_json(const PeftConfig& config);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/peft_config-inl.hpp"
#endif
