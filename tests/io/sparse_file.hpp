/// @file
/// Checkpoints that are too large to be there, and what of them is in memory.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "branchlora/io/safetensors_writer.hpp"

namespace branchlora::test {

/// Resident memory of this process, or -1 where there is no /proc.
inline Index resident_bytes() {
  Index total = 0;
  Index resident = 0;
  return std::ifstream("/proc/self/statm") >> total >> resident ? resident * ::sysconf(_SC_PAGESIZE)
                                                                : -1;
}

/// Writes a safetensors file whose data are a hole, which reads as zeros and takes no room. Gives
/// the bytes of the data; -1, and no file, where the file system has no holes.
inline Index write_sparse(const std::filesystem::path& path, std::vector<io::TensorEntry> entries) {
  std::uint64_t data = 0;
  for (const auto& entry : entries) data += *io::detail::checked_bytes(entry.dtype, entry.shape);
  const std::string header = io::detail::safetensors_header(path, entries, {});
  const std::uint64_t length = header.size();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(&length), 8) << header;
  std::error_code refused;
  std::filesystem::resize_file(path, 8 + length + data, refused);
  struct stat facts {};
  if (!refused && ::stat(path.c_str(), &facts) == 0 &&
      static_cast<std::uint64_t>(facts.st_blocks) * 512 < length + (1U << 20)) {
    return static_cast<Index>(data);
  }
  std::filesystem::remove(path);
  return -1;
}

}  // namespace branchlora::test
