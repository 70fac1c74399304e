/// @file
/// The one error type of the library, and the one way to raise it.
#pragma once

#include <fmt/core.h>

#include <stdexcept>

namespace branchlora {

/// Raised for every input that cannot be used. The message names the file, tensor or policy at
/// fault, what was expected and what was found.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Throws `Error` with the message that `format` makes of `args`, as fmt's `vformat` does: the one
/// place where errors are formatted.
[[noreturn]] void vfail(fmt::string_view format, fmt::format_args args);

/// Throws `Error` with a formatted message (fmt's syntax, checked at compile time).
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  vfail(format, fmt::make_format_args(args...));
}

/// Throws `Error` with a formatted message unless `condition` holds.
template <class... Args>
void expect(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) [[unlikely]]
    vfail(format, fmt::make_format_args(args...));
}

}  // namespace branchlora

#ifndef BRANCHLORA_COMPILED
#include "branchlora/core/error-inl.hpp"
#endif
