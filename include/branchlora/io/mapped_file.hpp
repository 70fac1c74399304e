/// @file
/// A whole file in memory without reading it: the system loads what is touched.
#pragma once

#include <sys/mman.h>
#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "branchlora/io/atomic_file.hpp"

namespace branchlora::io {

/// A file, mapped to be read for as long as this, or a copy of it, lives.
class MappedFile {
 public:
  /// Maps the file `path`. Throws `Error` naming it if it cannot be read.
  explicit MappedFile(const std::filesystem::path& path) {
    const Descriptor file(open_for_reading(path));
    struct stat facts {};
    if (::fstat(file.get(), &facts) != 0) fail_with_errno("read", path);
    const auto size = static_cast<std::size_t>(facts.st_size);
    if (size == 0) return;  // which cannot be mapped
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) fail_with_errno("map", path);
    mapping_.reset(address, [size](void* begin) { ::munmap(begin, size); });
    bytes_ = {static_cast<const std::byte*>(address), size};
  }

  /// The content.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> mapping_;
  std::span<const std::byte> bytes_;
};

}  // namespace branchlora::io
