/// @file
/// What each backend calculates, in groups, as plain numbers: the sources of nvcc and of the host's
/// compiler meet here.
#pragma once

#include <string>
#include <vector>

#include "support/naive.hpp"

namespace branchlora::test {

/// The results of one case; `depth` as in `Case`.
struct Entry {
  std::string name;
  double depth;
  std::vector<Dense> results;
};
using Entries = std::vector<Entry>;

/// The Eigen backend in double.
namespace on_eigen {
Entries primitives();
Entries operations();
Entries adapters();
Entries models();
}  // namespace on_eigen

/// The CUDA backend, T float or double.
namespace on_cuda {
/// Why there is nothing to run on; empty if there is a device.
std::string reason_to_skip();

template <class T>
Entries primitives();
template <class T>
Entries operations();
template <class T>
Entries adapters();
template <class T>
Entries models();
}  // namespace on_cuda

}  // namespace branchlora::test
