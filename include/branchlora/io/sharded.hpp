/// @file
/// A checkpoint of one safetensors file or of many, seen as one set of tensors.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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
  static ShardedTensors open(const std::filesystem::path& path);

  bool contains(std::string_view name) const { return file_of_.find(name) != file_of_.end(); }

  /// The names, in alphabetical order.
  std::vector<std::string> names() const;

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
  explicit ShardedTensors(std::filesystem::path path);

  void open_file();

  void open_shards();

  const SafeTensors& file_of(std::string_view name) const;

  std::filesystem::path path_;
  std::map<std::string, SafeTensors> files_;                 // by file name
  std::map<std::string, std::string, std::less<>> file_of_;  // tensor to file name
};

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/sharded-inl.hpp"
#endif
