/// @file
/// Names of things of which there are several.
#pragma once

#include <string>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// The name of the `i`-th of several: `name.i`. (g++ 12 warns of `"." + std::to_string(i)`, where
/// it cannot bound the length of the sum.)
inline std::string numbered(std::string name, Index i) {
  name += '.';
  name += std::to_string(i);
  return name;
}

}  // namespace branchlora
