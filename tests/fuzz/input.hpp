/// @file
/// What a fuzzer gives, as the readers under test take it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "branchlora/core/error.hpp"

namespace branchlora::fuzz {

/// The path of a file in memory that holds `content`, until the next call.
inline const std::string& as_file(std::string_view content) {
  static const int file = ::memfd_create("input", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  const auto size = static_cast<ssize_t>(content.size());
  if (::ftruncate(file, 0) != 0 || ::pwrite(file, content.data(), content.size(), 0) != size) {
    __builtin_trap();
  }
  return path;
}

/// The bytes of the fuzzer as text.
inline std::string_view as_text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

/// Runs `action`, which may refuse what it is given by an `Error`, and by nothing else.
void attempt(auto action) {
  try {
    action();
  } catch (const Error&) {
  }
}

/// What must hold.
inline void require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace branchlora::fuzz
