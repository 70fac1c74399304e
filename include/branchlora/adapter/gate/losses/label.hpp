/// @file
/// The loss of scores whose samples' tasks are known: the branch of a task is the right one.
#pragma once

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/gating_steps.hpp"

namespace branchlora::gate {

/// weight * mean over units of CE(softmax of the logits over the allowed branches, label).
template <Backend B, class V>
struct LabelLoss {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;

  /// dlogits += its gradient, times the scale of the pass.
  static void add_gradient(Tape<B>& tape, const Pass& g, BranchSet allowed, double weight,
                           MatrixView<T> dlogits) {
    const T scale = tape.loss_scale() * static_cast<T>(weight / static_cast<double>(g.logits.rows));
    tape.backend().for_each(g.logits.rows, Slope{g, dlogits, allowed, scale});
  }

  /// Its value.
  static double value(Tape<B>& tape, const Pass& g, BranchSet allowed, double weight) {
    const double sum = tape.backend().sum(g.logits.rows, Term{g, allowed});
    return weight * sum / static_cast<double>(g.logits.rows);
  }

  /// Adds to the gradient of the logits of unit i.
  struct Slope {
    Pass g;
    MatrixView<T> dlogits;
    BranchSet allowed;
    T scale;

    BRANCHLORA_HD void operator()(Index i) const {
      T p[V::capacity];
      gating::softmax<V::capacity>(g.logits.row(i), allowed, p);
      T* d = dlogits.row(i);
      for (Index b = 0; b < V::capacity; ++b) {
        d[b] += scale * (p[b] - (b == g.labels[i] ? T(1) : T(0)));
      }
    }
  };

  /// The cross entropy of unit i.
  struct Term {
    Pass g;
    BranchSet allowed;

    BRANCHLORA_HD double operator()(Index i) const {
      T p[V::capacity];
      gating::softmax<V::capacity>(g.logits.row(i), allowed, p);
      return -std::log(static_cast<double>(p[g.labels[i]]));
    }
  };
};

}  // namespace branchlora::gate
