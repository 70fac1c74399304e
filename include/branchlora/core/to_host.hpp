/// @file
/// A matrix out of backend memory.
#pragma once

#include <vector>

#include "branchlora/core/backend.hpp"

namespace branchlora {

/// A copy of a matrix in host memory, row-major.
template <Backend B>
std::vector<typename B::Scalar> to_host(B& backend, MatrixView<const typename B::Scalar> matrix) {
  std::vector<typename B::Scalar> host(static_cast<std::size_t>(matrix.size()));
  backend.download(host.data(), matrix.data, host.size() * sizeof(host[0]));
  return host;
}

}  // namespace branchlora
