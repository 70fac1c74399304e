/// @file
/// The gate of a single branch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"

namespace branchlora {

/// The gate of `router::None`: nothing to compute, to train or to remember.
template <Backend B, class V>
class NoGate {
 public:
  static constexpr bool fused = false;
  using BatchGates = Gates<typename B::Scalar, V::top_k>;

  NoGate(ParameterSet<B>& /*parameters*/, const std::string& /*name*/, Index /*d_in*/,
         const Hyper& /*hyper*/, const Random& /*random*/) {}

  void end_task() {}
  bool trains() const { return false; }
  Index routers() const { return 0; }
  BranchSet allowed(Index /*task*/) const { return 1; }
  std::vector<std::uint64_t> state() const { return {}; }
  void restore(std::span<const std::uint64_t> /*state*/) {}
};

}  // namespace branchlora
