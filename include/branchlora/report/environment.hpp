/// @file
/// Where and with what a result was computed.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "branchlora/core/matrix.hpp"

namespace branchlora::report {

/// Version of the library, compiler and its flags, processor, threads and time of a run: what two
/// numbers must share before their times can be compared.
struct Environment {
  std::string library;   ///< version of branchlora
  std::string compiler;  ///< name and version
  std::string flags;     ///< compiler flags
  std::string cpu;       ///< model name of the processor
  Index threads = 1;     ///< threads that the run used
  std::string date;      ///< UTC, ISO 8601

  bool operator==(const Environment&) const = default;
};

namespace detail {

/// The first `key : value` line of a file such as /proc/cpuinfo; "unknown" without one.
std::string first_value(const std::string& path, std::string_view key);

}  // namespace detail

/// Time `t` in UTC as `2024-01-31T12:00:00Z`.
std::string format_date(std::chrono::system_clock::time_point t);

/// The environment of this process, now, of a program built with these compiler `flags`.
Environment current_environment(Index threads, std::string flags);

/// The same of whoever includes this. The build names its flags in the string macro
/// `BRANCHLORA_FLAGS`; without it they are unknown.
inline Environment current_environment(Index threads) {
#ifdef BRANCHLORA_FLAGS
  return current_environment(threads, BRANCHLORA_FLAGS);
#else
  return current_environment(threads, "unknown");
#endif
}

}  // namespace branchlora::report

#ifndef BRANCHLORA_COMPILED
#include "branchlora/report/environment-inl.hpp"
#endif
