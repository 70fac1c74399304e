/// @file
/// A checkpoint of one safetensors file or of many, seen as one set of tensors.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/io/json.hpp"
#include "branchlora/io/safetensors.hpp"

namespace branchlora::io {

/// The tensors of a checkpoint, whichever of its files they are in. The files are mapped, so memory
/// is used only for tensors that are read.
///
/// A sharded checkpoint has an index, `model.safetensors.index.json`, whose `weight_map` gives the
/// file of each tensor. Those files lie beside the index: a name that could lead elsewhere (with a
/// separator or "..") is refused. A tensor lies in the file that the index names, and in no other.
class ShardedTensors {
 public:
  /// Opens a folder (its index if there is one, else its `model.safetensors`), an index, or a
  /// safetensors file. Throws `Error` naming the file and what is wrong: an index that is no map of
  /// names, a shard that is missing or broken, a listed tensor that its shard lacks, one of a shard
  /// that is not listed for it.
  static ShardedTensors open(const std::filesystem::path& path) {
    if (!std::filesystem::is_directory(path)) return ShardedTensors(path);
    const auto index = path / "model.safetensors.index.json";
    return ShardedTensors(std::filesystem::exists(index) ? index : path / "model.safetensors");
  }

  bool contains(std::string_view name) const { return file_of_.find(name) != file_of_.end(); }

  /// The names, in alphabetical order.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, file] : file_of_) names.push_back(name);
    return names;
  }

  /// The tensor `name`, valid while this object lives. Throws `Error` if there is none.
  const TensorView& tensor(std::string_view name) const { return file_of(name).tensor(name); }

  /// Copies the tensor `name` into `out`; see `SafeTensors::read`.
  template <class T>
  void read(std::string_view name, std::span<T> out) const {
    file_of(name).read(name, out);
  }

  /// The file in which the tensor `name` lies. Throws `Error` if there is none.
  const std::filesystem::path& path_of(std::string_view name) const { return file_of(name).path(); }

  /// The index, or the only file.
  const std::filesystem::path& path() const { return path_; }

  /// How many files the tensors lie in.
  Index files() const { return std::ssize(files_); }

 private:
  explicit ShardedTensors(std::filesystem::path path) : path_(std::move(path)) {
    path_.extension() == ".json" ? open_shards() : open_file();
  }

  void open_file() {
    const std::string only = path_.filename().string();
    files_.emplace(only, SafeTensors::open(path_));
    for (auto& name : files_.at(only).names()) file_of_.emplace(std::move(name), only);
  }

  void open_shards() {
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

  const SafeTensors& file_of(std::string_view name) const {
    const auto found = file_of_.find(name);
    expect(found != file_of_.end(), "{}: expected a tensor '{}', found none of that name",
           path_.string(), name);
    return files_.at(found->second);
  }

  std::filesystem::path path_;
  std::map<std::string, SafeTensors> files_;                 // by file name
  std::map<std::string, std::string, std::less<>> file_of_;  // tensor to file name
};

}  // namespace branchlora::io
