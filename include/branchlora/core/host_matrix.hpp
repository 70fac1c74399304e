/// @file
/// A matrix in host memory that owns its values.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// A matrix on the host.
template <class T>
struct HostMatrix {
  Index rows = 0;
  Index cols = 0;
  std::vector<T> values;  ///< Row-major.
  bool operator==(const HostMatrix&) const = default;
};

/// Matrices by name: what something keeps from task to task.
template <class T>
using HostMatrices = std::map<std::string, HostMatrix<T>>;

}  // namespace branchlora
