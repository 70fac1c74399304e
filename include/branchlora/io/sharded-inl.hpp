/// @file
/// How a checkpoint of several files is opened.
#pragma once

#include <nlohmann/json.hpp>

#include <fcntl.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"
#include "branchlora/io/sharded.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE ShardedTensors ShardedTensors::open(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return ShardedTensors(path);
  const auto index = path / "model.safetensors.index.json";
  return ShardedTensors(std::filesystem::exists(index) ? index : path / "model.safetensors");
}

BRANCHLORA_INLINE std::vector<std::string> ShardedTensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : file_of_) names.push_back(name);
  return names;
}

BRANCHLORA_INLINE ShardedTensors::ShardedTensors(std::filesystem::path path)
    : path_(std::move(path)) {
  path_.extension() == ".json" ? open_shards() : open_file();
}

BRANCHLORA_INLINE void ShardedTensors::open_file() {
  const std::string only = path_.filename().string();
  files_.emplace(only, SafeTensors::open(path_));
  for (auto& name : files_.at(only).names()) file_of_.emplace(std::move(name), only);
}

BRANCHLORA_INLINE void ShardedTensors::open_shards() {
  const Json index = read_json(path_);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  expect(map != index.end() && map->is_object(), "{}: expected an object 'weight_map'",
         path_.string());
  for (const auto& [name, value] : map->items()) {
    expect(value.is_string(), "{}: tensor '{}': expected the name of a file, found {}",
           path_.string(), name, value.dump());
    const auto& shard = value.get_ref<const std::string&>();
    expect(!shard.empty() && shard != "." && shard.find("..") == shard.npos &&
               shard.find_first_of(std::string_view("/\\\0", 3)) == shard.npos,
           "{}: tensor '{}': expected the name of a file beside the index, found '{}'",
           path_.string(), name, shard);
    if (!files_.contains(shard)) {
      const auto path = path_.parent_path() / shard;
      std::error_code ignored;  // a name that is too long
      expect(std::filesystem::exists(path, ignored),
             "{}: tensor '{}': expected it in '{}', found no such file", path_.string(), name,
             shard);
      files_.emplace(shard, SafeTensors::open(path));
    }
    expect(files_.at(shard).contains(name), "{}: expected tensor '{}' in '{}', found none",
           path_.string(), name, shard);
    file_of_.emplace(name, shard);
  }
  for (const auto& [shard, file] : files_) {
    for (const std::string& name : file.names()) {
      const auto listed = file_of_.find(name);
      const bool unknown = listed == file_of_.end();
      expect(!unknown && listed->second == shard,
             "{}: tensor '{}': expected none, since {} {}; found one", file.path().string(), name,
             path_.filename().string(),
             unknown ? "does not list it" : "has it in '" + listed->second + "'");
    }
  }
}

BRANCHLORA_INLINE const SafeTensors& ShardedTensors::file_of(std::string_view name) const {
  const auto found = file_of_.find(name);
  expect(found != file_of_.end(), "{}: expected a tensor '{}', found none of that name",
         path_.string(), name);
  return files_.at(found->second);
}

}  // namespace branchlora::io
