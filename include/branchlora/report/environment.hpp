/// @file
/// Where and with what a result was computed.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>

#include "branchlora/core/matrix.hpp"
#include "branchlora/core/version.hpp"

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

inline std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}

/// The first `key : value` line of a file such as /proc/cpuinfo; "unknown" without one.
inline std::string first_value(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    if (value != std::string::npos) return line.substr(value);
  }
  return "unknown";
}

}  // namespace detail

/// Time `t` in UTC as `2024-01-31T12:00:00Z`.
inline std::string format_date(std::chrono::system_clock::time_point t) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(t);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

/// The environment of this process, now. The build names its flags in the string macro
/// `BRANCHLORA_FLAGS`; without it they are unknown.
inline Environment current_environment(Index threads) {
  Environment e;
  e.library = version;
  e.compiler = detail::compiler_name();
#if defined(BRANCHLORA_FLAGS)
  e.flags = BRANCHLORA_FLAGS;
#else
  e.flags = "unknown";
#endif
  e.cpu = detail::first_value("/proc/cpuinfo", "model name");
  e.threads = threads;
  e.date = format_date(std::chrono::system_clock::now());
  return e;
}

}  // namespace branchlora::report
