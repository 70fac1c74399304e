/// @file
/// Strict JSON: no comments, no trailing commas, no bytes that are not UTF-8, no key twice in one
/// object. Who looks into a value includes nlohmann/json.hpp, which this header only promises.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <filesystem>
#include <string_view>

namespace branchlora::io {

/// A JSON value.
using Json = nlohmann::json;

/// Parses `text`; `name` (a file name as a rule) begins the message of the `Error` it throws.
Json parse_json(std::string_view text, std::string_view name);

/// Parses the file `path`. Throws `Error` naming it.
Json read_json(const std::filesystem::path& path);

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/json-inl.hpp"
#endif
