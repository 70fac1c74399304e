/// @file
/// The version of the library, in the one place that CMake reads too.
#pragma once

#include <string_view>

namespace branchlora {

/// Semantic version.
inline constexpr std::string_view version = "0.1.0";

}  // namespace branchlora
