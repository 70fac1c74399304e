/// @file
/// The gate of a single branch.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/core/plan.hpp"

namespace branchlora {

/// The gate of `router::None`: one branch of weight 1, so that z is u. Nothing to compute, to train
/// or to remember.
template <Backend B, class V>
class NoGate {
 public:
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  static constexpr bool below_a = false;
  static constexpr bool rowwise = true;

  NoGate(ParameterSet<B>& /*parameters*/, const std::string& /*name*/, Index /*d_in*/,
         const Hyper& /*hyper*/, const Random& /*random*/) {}

  void begin_task(Index /*task*/, BranchSet /*allowed*/) {}
  void end_task() {}
  bool trains() const { return false; }
  Index routers() const { return 0; }
  BranchSet allowed(Index /*task*/) const { return 1; }
  std::vector<std::uint64_t> state() const { return {}; }
  void restore(std::span<const std::uint64_t> /*state*/) {}

  Pass open(Tape<B>&, Var<T> /*x*/, const RoutingContext&, MatrixView<T> /*below*/) { return {}; }
  template <class Mix>
  void forward(Plan<B>&, Tape<B>&, Var<T> /*x*/, const Pass&, const Mix&) const {}
  void end_forward(Tape<B>&, MatrixView<const T> /*x*/, const RoutingContext&, Pass&) {}
  GateGradients<T> gradients(Tape<B>&, const Pass&, Index /*tokens*/, MatrixView<T> /*below*/) {
    return {};
  }
  template <class Unmix>
  void backward(Plan<B>&, Tape<B>&, Var<T> /*x*/, const Pass&, GateGradients<T>&,
                const Unmix&) const {}
  void end_backward(Tape<B>&, Var<T> /*x*/, const Pass&, GateGradients<T>&) const {}
};

}  // namespace branchlora
