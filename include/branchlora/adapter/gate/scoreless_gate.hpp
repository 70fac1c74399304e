/// @file
/// What gates without scores have in common.
#pragma once

#include <string>

#include "branchlora/adapter/gate/token_units.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/core/plan.hpp"

namespace branchlora {

/// The base of gates whose weights no score decides. Such a gate has no parameter and takes no
/// gradient; its weights are written where the branches are mixed, so that it costs no launch of
/// its own. What derives from it says which branches there are (`open`) and what they weigh.
template <Backend B, class V>
class ScorelessGate {
 public:
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  static constexpr bool below_a = false;
  static constexpr bool rowwise = true;

  ScorelessGate(ParameterSet<B>& /*parameters*/, const std::string& name, Index /*d_in*/,
                const Hyper& /*hyper*/, const Random& /*random*/)
      : name_(name) {}

  void end_task() {}
  bool trains() const { return false; }
  void end_forward(Tape<B>&, MatrixView<const T> /*x*/, const RoutingContext&, Pass&) {}

  GateGradients<T> gradients(Tape<B>& tape, const Pass&, Index tokens,
                             MatrixView<T> /*below*/) const {
    return {tape.scratch(tokens, V::capacity), {}, {}};
  }
  /// No gradient goes further than the gates.
  template <class Unmix>
  void backward(Plan<B>& plan, Tape<B>&, Var<T> /*x*/, const Pass& g, GateGradients<T>&,
                const Unmix& unmix) const {
    gate::for_tokens(plan, g, unmix);
  }
  void end_backward(Tape<B>&, Var<T> /*x*/, const Pass&, GateGradients<T>&) const {}

 protected:
  std::string name_;
};

}  // namespace branchlora
