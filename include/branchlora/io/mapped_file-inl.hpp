/// @file
/// How a file is mapped.
#pragma once

#include <sys/mman.h>
#include <sys/stat.h>

#include <cstddef>
#include <filesystem>

#include "branchlora/core/inline.hpp"
#include "branchlora/io/atomic_file.hpp"
#include "branchlora/io/mapped_file.hpp"

namespace branchlora::io {

BRANCHLORA_INLINE MappedFile::MappedFile(const std::filesystem::path& path) {
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

}  // namespace branchlora::io
