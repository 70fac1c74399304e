/// @file
/// Losses of the mean probability of each branch, given its load.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <span>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/gate/routers.hpp"

namespace branchlora::gate {

/// The derivative of weight * sum over branches of `Balance`::slope(f_b) P_b by one unit's
/// probability of each of N branches, in backend memory: f_b is branch b's share of the choices,
/// `chosen`, units x K, and P_b the mean of its probability over the units. Where fewer than K
/// branches are allowed, others fill the choice; with the units' `weights`, units x N, which are
/// zero for those, they do not count. If nobody chose any, all loads are zero.
template <class Balance, Index N, Index K, Backend B>
const typename B::Scalar* balance_slopes(Tape<B>& tape, const std::int32_t* chosen, Index units,
                                         double weight,
                                         MatrixView<const typename B::Scalar> weights = {}) {
  using T = typename B::Scalar;
  const auto sums = tape.scratch(1, N);
  tape.backend().reduce_columns(
      units * K, N,
      [=] BRANCHLORA_BODY(Index i, Index b) {
        const bool counted = weights.data == nullptr || weights(i / K, b) != T(0);
        return chosen[i] == b && counted ? T(1) : T(0);
      },
      sums.data, false);
  std::array<T, static_cast<std::size_t>(N)> loads;
  tape.backend().download(loads.data(), sums.data, sizeof(loads));
  const double choices = std::max(1.0, std::accumulate(loads.begin(), loads.end(), 0.0));
  std::array<T, static_cast<std::size_t>(N)> slopes{};
  std::ranges::transform(loads, slopes.begin(), [&](T load) {
    return static_cast<T>(static_cast<double>(tape.loss_scale()) * weight *
                          Balance::slope(static_cast<double>(load) / choices, static_cast<int>(N)) /
                          static_cast<double>(units));
  });
  return tape.upload(std::span<const T>(slopes));
}

/// The loss of V's `ProbabilityBalance` over the units of a batch, P being the softmax of the
/// logits over the allowed branches and the loads counting as given.
template <Backend B, class V>
struct BalanceLoss {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;

  static const T* slopes(Tape<B>& tape, const Pass& g, double weight) {
    return balance_slopes<typename V::Balance, V::capacity, V::top_k>(
        tape, g.unit_chosen, g.logits.rows, weight, g.weights);
  }

  /// dlogits += its gradient, times the scale of the pass.
  static void add_gradient(Tape<B>& tape, const Routers<B>& routers, const Pass& g, double weight,
                           MatrixView<T> dlogits) {
    const T* slope = slopes(tape, g, weight);
    for_unit_runs<V>(routers, g, 0, g.logits.rows, [&](const auto& r, Index first, Index count) {
      tape.backend().for_each(count, Slope{g.logits, dlogits, slope, first, r.allowed});
    });
  }

  /// Its value.
  static double value(Tape<B>& tape, const Routers<B>& routers, const Pass& g, double weight) {
    const T* slope = slopes(tape, g, weight);
    double sum = 0;
    for_unit_runs<V>(routers, g, 0, g.logits.rows, [&](const auto& r, Index first, Index count) {
      sum += tape.backend().sum(count, Term{g.logits, slope, first, r.allowed});
    });
    return sum / static_cast<double>(tape.loss_scale());
  }

  /// Adds to the gradient of the logits of unit `first + i`.
  struct Slope {
    MatrixView<const T> logits;
    MatrixView<T> dlogits;
    const T* slopes;
    Index first;
    BranchSet allowed;

    BRANCHLORA_HD void operator()(Index i) const {
      T p[V::capacity];
      gating::softmax<V::capacity>(logits.row(first + i), allowed, p);
      T dot = 0;
      for (Index b = 0; b < V::capacity; ++b) dot += p[b] * slopes[b];
      T* d = dlogits.row(first + i);
      for (Index b = 0; b < V::capacity; ++b) d[b] += p[b] * (slopes[b] - dot);
    }
  };

  /// What unit `first + i` adds to the loss.
  struct Term {
    MatrixView<const T> logits;
    const T* slopes;
    Index first;
    BranchSet allowed;

    BRANCHLORA_HD double operator()(Index i) const {
      T p[V::capacity];
      gating::softmax<V::capacity>(logits.row(first + i), allowed, p);
      double sum = 0;
      for (Index b = 0; b < V::capacity; ++b) sum += static_cast<double>(p[b] * slopes[b]);
      return sum;
    }
  };
};

}  // namespace branchlora::gate
