/// @file
/// A gating applied to one unit of a batch, and its backward pass.
#pragma once

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/policy/gating.hpp"

namespace branchlora::gate {

/// From the scores of a unit to its gates and its choice: g = gating(scores / temperature), or all
/// weight for the branch of its task where that is known.
template <class V, class T>
struct Weigh {
  GatePass<T, V::top_k> g;
  T temperature;

  /// `biases` are those of the last scores, where V has any.
  BRANCHLORA_HD void operator()(Index unit, BranchSet allowed, const T* biases) const {
    T* logits = g.logits.row(unit);
    T* weights = g.weights.row(unit);
    std::int32_t* chosen = g.unit_chosen + unit * V::top_k;
    for (Index b = 0; b < V::gate_biases; ++b) {
      logits[V::gate_rows - V::gate_biases + b] += biases[b];
    }
    for (Index b = 0; b < V::gate_rows; ++b) logits[b] /= temperature;
    if (g.task_known) {
      gating::only<V::capacity, V::top_k>(g.labels[unit], weights, chosen);
    } else if constexpr (BiasedGating<typename V::Gating>) {
      V::Gating::template forward<V::capacity, V::top_k>(logits, g.bias, allowed, g.saved.row(unit),
                                                         weights, chosen);
    } else {
      V::Gating::template forward<V::capacity, V::top_k>(logits, allowed, g.saved.row(unit),
                                                         weights, chosen);
    }
  }
};

/// From the gradient of a unit's gates, of its chosen branches, to that of scores / temperature.
template <class V, class T>
BRANCHLORA_HD void weigh_backward(const GatePass<T, V::top_k>& g, Index unit,
                                  const std::int32_t* chosen, const T* dweights, T* dlogits) {
  if (g.task_known) {
    for (Index b = 0; b < V::gate_rows; ++b) dlogits[b] = T(0);
  } else {
    V::Gating::template backward<V::capacity, V::top_k>(g.saved.row(unit), g.weights.row(unit),
                                                        chosen, dweights, dlogits);
  }
}

}  // namespace branchlora::gate
