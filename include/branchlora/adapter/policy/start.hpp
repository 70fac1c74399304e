/// @file
/// What a start that sees more than a shape is given, and what it gives.
#pragma once

#include <string>

#include "branchlora/core/host_matrix.hpp"

namespace branchlora::init {

/// What a start asks for beside the shape of the linear that it stands beside.
struct Needs {
  bool weight = false;    ///< The frozen weight.
  bool inputs = false;    ///< Mean and second moment of the linear's inputs.
  bool gradient = false;  ///< The gradient of the training loss with respect to the weight.

  constexpr bool any() const { return weight || inputs || gradient; }
  /// What either asks for.
  friend constexpr Needs operator|(const Needs& a, const Needs& b) {
    return {a.weight || b.weight, a.inputs || b.inputs, a.gradient || b.gradient};
  }
  bool operator==(const Needs&) const = default;
};

/// What was asked for, on the host; what was not is empty. Inputs and gradient are of training
/// samples of the task that begins, taken before its first step: the branch that is to start adds
/// nothing there.
struct Given {
  std::string layer;            ///< The name of the linear.
  Index rank = 0;               ///< Of a branch.
  double scale = 1;             ///< The factor s.
  HostMatrix<double> weight;    ///< W: d_out x d_in.
  HostMatrix<double> mean;      ///< 1 x d_in: the mean of the inputs over tokens.
  HostMatrix<double> moment;    ///< d_in x d_in: the mean of x x^T over tokens.
  HostMatrix<double> gradient;  ///< dL/dW: d_out x d_in.
};

/// Where the factors of a branch start.
struct Factors {
  HostMatrix<double> a;             ///< rank x d_in.
  HostMatrix<double> b_transposed;  ///< rank x d_out; empty: B is zero.
};

}  // namespace branchlora::init
