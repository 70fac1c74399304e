/// @file
/// How errors are formatted.
#pragma once

#include <fmt/format.h>

#include "branchlora/core/error.hpp"
#include "branchlora/core/inline.hpp"

namespace branchlora {

BRANCHLORA_INLINE void vfail(fmt::string_view format, fmt::format_args args) {
  throw Error(fmt::vformat(format, args));
}

}  // namespace branchlora
