/// @file
/// The one error type of the library, and the one way to raise it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace branchlora {

/// Raised for every input that cannot be used. The message names the file, tensor or policy at
/// fault, what was expected and what was found.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws `Error` with a formatted message (fmt's syntax, checked at compile time).
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws `Error` with a formatted message unless `condition` holds.
template <class... Args>
void expect(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]] fail(format, std::forward<Args>(args)...);
}

}  // namespace branchlora
