/// @file
/// The bodies of `environment.hpp`.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "branchlora/core/inline.hpp"
#include "branchlora/core/version.hpp"
#include "branchlora/report/environment.hpp"

namespace branchlora::report {

namespace detail {

BRANCHLORA_INLINE std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "g++ " __VERSION__;
#else
  return "unknown";
#endif
}

BRANCHLORA_INLINE std::string first_value(const std::string& path, std::string_view key) {
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

BRANCHLORA_INLINE std::string format_date(std::chrono::system_clock::time_point t) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(t);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

BRANCHLORA_INLINE Environment current_environment(Index threads, std::string flags) {
  Environment e;
  e.library = version;
  e.compiler = detail::compiler_name();
  e.flags = std::move(flags);
  e.cpu = detail::first_value("/proc/cpuinfo", "model name");
  e.threads = threads;
  e.date = format_date(std::chrono::system_clock::now());
  return e;
}

}  // namespace branchlora::report
