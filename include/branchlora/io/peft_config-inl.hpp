/// @file
/// How the settings of PEFT's adapters are read and written.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/core/matrix.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/peft_config.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE double PeftConfig::scale_of(std::string_view path) const {
  const auto rank = static_cast<double>(rank_of(path));
  return alpha_of(path) / (use_rslora ? std::sqrt(rank) : rank);
}

BRANCHLORA_INLINE bool PeftConfig::targets(std::string_view path) const {
  const auto* names = std::get_if<std::vector<std::string>>(&target_modules);
  return names == nullptr ||
         std::ranges::any_of(*names, [&](const auto& name) { return matches(name, path); });
}

BRANCHLORA_INLINE bool PeftConfig::matches(std::string_view name, std::string_view path) {
  if (name.starts_with('^')) return name.substr(1) == path;
  return path == name || (path.ends_with(name) && path[path.size() - name.size() - 1] == '.');
}

namespace detail {

/// Settings that change nothing of what a trained adapter computes: any value is taken.
inline constexpr std::array<std::string_view, 7> peft_without_effect{
    "auto_mapping", "inference_mode",    "megatron_core", "peft_version",
    "revision",     "qalora_group_size", "runtime_config"};

/// Ways to start that leave the base weight as it was.
inline constexpr std::array<std::string_view, 3> peft_plain_starts{"gaussian", "eva", "orthogonal"};

/// Reads `adapter_config.json` field by field; what was not asked for must be off.
class PeftConfigReader {
 public:
  PeftConfigReader(const Json& json, std::string_view name) : json_(json), name_(name) {
    expect(json.is_object(), "{}: expected an object, found {}", name, json.type_name());
  }

  PeftConfig read() {
    const std::string type = take<std::string>("peft_type", "");
    expect(type == "LORA", "{}: peft_type: expected \"LORA\", found \"{}\"", name_, type);
    PeftConfig config;
    config.r = take<Index>("r", config.r);
    expect(config.r >= 1, "{}: r: expected at least 1, found {}", name_, config.r);
    config.lora_alpha = take<double>("lora_alpha", config.lora_alpha);
    config.lora_dropout = take<double>("lora_dropout", 0.0);
    expect(config.lora_dropout >= 0 && config.lora_dropout < 1,
           "{}: lora_dropout: expected a probability below 1, found {}", name_,
           config.lora_dropout);
    config.use_rslora = take<bool>("use_rslora", false);
    config.use_dora = take<bool>("use_dora", false);
    config.fan_in_fan_out = take<bool>("fan_in_fan_out", false);
    config.rank_pattern = take_pattern<Index>("rank_pattern");
    for (const auto& [key, rank] : config.rank_pattern) {
      expect(rank >= 1, "{}: rank_pattern: '{}': expected at least 1, found {}", name_, key, rank);
    }
    config.alpha_pattern = take_pattern<double>("alpha_pattern");
    config.base_model_name_or_path = take<std::string>("base_model_name_or_path", "");
    config.task_type = take<std::string>("task_type", "");
    config.peft_version = take<std::string>("peft_version", "");
    config.target_modules = take_targets();
    const std::string bias = take<std::string>("bias", "none");
    expect(bias == "none", "{}: bias: expected \"none\" (adapters hold no biases), found \"{}\"",
           name_, bias);
    check_start();
    expect_rest_off();
    return config;
  }

 private:
  const Json* find(const char* key) {
    taken_.push_back(key);
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  template <class T>
  T convert(const std::string& key, const Json& value) const {
    if constexpr (std::same_as<T, Index>) {
      expect(value.is_number_integer(), "{}: {}: expected a whole number, found {}", name_, key,
             value.dump());
    } else if constexpr (std::same_as<T, double>) {
      expect(value.is_number(), "{}: {}: expected a number, found {}", name_, key, value.dump());
    } else if constexpr (std::same_as<T, bool>) {
      expect(value.is_boolean(), "{}: {}: expected true or false, found {}", name_, key,
             value.dump());
    } else {
      expect(value.is_string(), "{}: {}: expected a string, found {}", name_, key, value.dump());
    }
    return value.get<T>();
  }

  template <class T>
  T take(const char* key, T otherwise) {
    const Json* value = find(key);
    return value == nullptr ? otherwise : convert<T>(key, *value);
  }

  template <class T>
  std::map<std::string, T> take_pattern(const char* key) {
    std::map<std::string, T> pattern;
    const Json* value = find(key);
    if (value == nullptr) return pattern;
    expect(value->is_object(), "{}: {}: expected an object, found {}", name_, key, value->dump());
    for (const auto& [name, entry] : value->items()) {
      expect(!name.empty() && name.find_first_of("*+?()[]{}|\\$") == name.npos,
             "{}: {}: expected names of modules, found the regular expression '{}'", name_, key,
             name);
      pattern.emplace(name, convert<T>(fmt::format("{}: '{}'", key, name), entry));
    }
    return pattern;
  }

  std::variant<std::vector<std::string>, std::string> take_targets() {
    const Json* value = find("target_modules");
    expect(value != nullptr && !value->empty() && *value != "",
           "{}: target_modules: expected names, found none", name_);
    if (value->is_string()) return value->get<std::string>();
    expect(value->is_array(), "{}: target_modules: expected a list or a string, found {}", name_,
           value->dump());
    std::vector<std::string> names;
    for (const Json& entry : *value) {
      names.push_back(convert<std::string>("target_modules", entry));
      expect(!names.back().empty(), "{}: target_modules: found an empty name", name_);
    }
    std::ranges::sort(names);
    return names;
  }

  /// PiSSA, OLoRA, LoftQ and their like train beside a changed base weight, which is not at hand.
  void check_start() {
    const Json* start = find("init_lora_weights");
    const bool plain =
        start == nullptr || start->is_boolean() ||
        (start->is_string() &&
         std::ranges::find(peft_plain_starts, start->get_ref<const std::string&>()) !=
             peft_plain_starts.end());
    expect(plain,
           "{}: init_lora_weights: {} changes the base weight that the adapter belongs to; convert "
           "it to plain LoRA first",
           name_, start == nullptr ? "" : start->dump());
    if (start != nullptr && *start == "eva") taken_.push_back("eva_config");
  }

  void expect_rest_off() const {
    for (const auto& [key, value] : json_.items()) {
      const bool off = value == false || value.empty();  // empty: null, {}, []
      expect(off || std::ranges::find(taken_, key) != taken_.end() ||
                 std::ranges::find(peft_without_effect, key) != peft_without_effect.end(),
             "{}: {}: this setting is not supported; expected it to be off, found {}", name_, key,
             value.dump());
    }
  }

  const Json& json_;
  std::string_view name_;
  std::vector<std::string_view> taken_;
};

/// As a whole number where it is one: PEFT's alpha is an integer as a rule.
BRANCHLORA_INLINE Json shortest(double x) {
  const bool whole = std::trunc(x) == x && std::abs(x) < 1e15;
  return whole ? Json(static_cast<Index>(x)) : Json(x);
}

}  // namespace detail

BRANCHLORA_INLINE PeftConfig parse_peft_config(const Json& json, std::string_view name) {
  return detail::PeftConfigReader(json, name).read();
}

BRANCHLORA_INLINE Json to_json(const PeftConfig& config) {
  const auto text = [](const std::string& s) { return s.empty() ? Json() : Json(s); };
  Json json{{"peft_type", "LORA"},
            {"r", config.r},
            {"lora_alpha", detail::shortest(config.lora_alpha)},
            {"lora_dropout", config.lora_dropout},
            {"bias", "none"},
            {"fan_in_fan_out", config.fan_in_fan_out},
            {"use_rslora", config.use_rslora},
            {"use_dora", config.use_dora},
            {"rank_pattern", config.rank_pattern},
            {"alpha_pattern", Json::object()},
            {"modules_to_save", nullptr},
            {"init_lora_weights", true},
            {"inference_mode", true},
            {"base_model_name_or_path", text(config.base_model_name_or_path)},
            {"task_type", text(config.task_type)},
            {"peft_version", text(config.peft_version)}};
  for (const auto& [key, alpha] : config.alpha_pattern) {
    json["alpha_pattern"][key] = detail::shortest(alpha);
  }
  std::visit([&](const auto& targets) { json["target_modules"] = targets; }, config.target_modules);
  return json;
}

}  // namespace branchlora::io
