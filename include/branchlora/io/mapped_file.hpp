/// @file
/// A whole file in memory without reading it: the system loads what is touched.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

namespace branchlora::io {

/// A file, mapped to be read for as long as this, or a copy of it, lives.
class MappedFile {
 public:
  /// Maps the file `path`. Throws `Error` naming it if it cannot be read.
  explicit MappedFile(const std::filesystem::path& path);

  /// The content.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> mapping_;
  std::span<const std::byte> bytes_;
};

}  // namespace branchlora::io

#ifndef BRANCHLORA_COMPILED
#include "branchlora/io/mapped_file-inl.hpp"
#endif
