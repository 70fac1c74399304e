/// @file
/// The gate that weighs all branches alike.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/scoreless_gate.hpp"
#include "branchlora/adapter/policy/branch_set.hpp"

namespace branchlora {

/// The gate of `router::Uniform`: 1/n for each of the n branches that may be chosen.
template <Backend B, class V>
class UniformGate : public ScorelessGate<B, V> {
 public:
  using Base = ScorelessGate<B, V>;
  using Base::Base;
  using typename Base::Pass;
  using typename Base::T;

  void begin_task(Index /*task*/, BranchSet allowed) { allowed_ = allowed; }
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
  using Base::name_;
  BranchSet allowed_ = first_branches(V::branches);
};

}  // namespace branchlora
