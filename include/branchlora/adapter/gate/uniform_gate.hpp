/// @file
/// The gate that weighs all branches alike.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/token_units.hpp"
#include "branchlora/adapter/hyper.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/core/plan.hpp"

namespace branchlora {

/// The gate of `router::Uniform`: 1/n for each of the n branches that may be chosen. It has no
/// parameter and takes no gradient; its weights are written where the branches are mixed, so that
/// it costs no launch of its own.
template <Backend B, class V>
class UniformGate {
 public:
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  static constexpr bool below_a = false;
  static constexpr bool rowwise = true;

  UniformGate(ParameterSet<B>& /*parameters*/, const std::string& name, Index /*d_in*/,
              const Hyper& /*hyper*/, const Random& /*random*/)
      : name_(name) {}

  void begin_task(Index /*task*/, BranchSet allowed) { allowed_ = allowed; }
  void end_task() {}
  bool trains() const { return false; }
  Index routers() const { return 0; }
  BranchSet allowed(Index /*task*/) const { return allowed_; }
  /// The branches that may be chosen.
  std::vector<std::uint64_t> state() const { return {allowed_}; }
  void restore(std::span<const std::uint64_t> state) {
    expect(state.size() == 1, "{}: expected one saved set of branches, found {}", name_,
           state.size());
    expect_saved_branches(state[0], V::capacity, name_);
    allowed_ = state[0];
  }

  Pass open(Tape<B>& tape, Var<T> x, const RoutingContext& context, MatrixView<T> /*below*/) const {
    Pass g;
    g.sequences = context.sequences;
    g.weights = tape.scratch(x.rows(), V::capacity);
    g.chosen = tape.template array<std::int32_t>(x.rows() * V::top_k);
    return g;
  }

  /// Writes the gates of each token and calls `mix(gates, token)`.
  template <class Mix = gate::NoMix>
  void forward(Plan<B>& plan, Tape<B>& /*tape*/, Var<T> /*x*/, const Pass& g,
               const Mix& mix = gate::no_mix) const {
    plan.rowwise({}, [this, &g, &mix](B& backend, Index first, Index count) {
      gate::for_tokens(backend, g, first, count, Weigh<Mix>{mix, allowed_});
    });
  }
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

  // Public since nvcc takes bodies from public functions only.

  template <class Mix>
  struct Weigh {
    Mix mix;
    BranchSet allowed;

    BRANCHLORA_HD void operator()(const Pass& g, Index token) const {
      Index n = 0;
      for (Index b = 0; b < V::capacity; ++b) n += contains(allowed, b) ? 1 : 0;
      for (Index b = 0; b < V::capacity; ++b) {
        g.weights(token, b) = contains(allowed, b) ? T(1) / static_cast<T>(n) : T(0);
        g.chosen[token * V::top_k + b] = static_cast<std::int32_t>(b);
      }
      mix(g, token);
    }
  };

 private:
  std::string name_;
  BranchSet allowed_ = first_branches(V::branches);
};

}  // namespace branchlora
