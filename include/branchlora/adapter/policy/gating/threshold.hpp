/// @file
/// The gating of AdaMoLE: probabilities above a threshold that is learned too.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/gate/reference.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace category {
struct Gating;
}

namespace gating {

/// p = softmax of the scores of N branches, t = tau sigmoid(one score more), and
///
///     g_i = max(p_i - t, 0) / sum_j max(p_j - t, 0)
///
/// so that any number of branches has a weight; none has one, and no gradient, where no p_i is
/// above t. tau is `Percent` hundredths of 1 / N. Up to 100 a branch always passes: the largest p
/// is 1 / N at least, and t below it. Every branch counts as chosen, and is computed.
///
/// Liu & Luo, "AdaMoLE: Fine-Tuning Large Language Models with Adaptive Mixture of Low-Rank
/// Adaptation Experts", 2024 (arXiv 2405.00361). Their code's tau is 1 / N unless it is given.
template <int Percent = 100>
struct Threshold {
  static_assert(Percent >= 1, "The Percent of gating::Threshold<Percent> must be at least 1.");
  using Category = category::Gating;
  static constexpr bool needs_dense = true;
  static constexpr bool sparse_by_value = true;
  /// The threshold's score is the last one, and has a bias.
  static constexpr int scores(int branches) { return branches + 1; }
  static constexpr int biased_scores = 1;
  BRANCHLORA_HD static constexpr double tau(Index branches) {
    return Percent / 100.0 / static_cast<double>(branches);
  }
  static std::string name() { return fmt::format("gating::Threshold<{}>", Percent); }

  /// Saves p and t.
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* saved, T* weights,
                                    std::int32_t* chosen) {
    softmax<N>(logits, allowed, saved);
    const T t = static_cast<T>(tau(N)) * math::sigmoid(logits[N]);
    saved[N] = t;
    const T sum = sum_above<N>(saved);
    for (Index i = 0; i < N; ++i) weights[i] = saved[i] > t ? (saved[i] - t) / sum : T(0);
    for (Index k = 0; k < K; ++k) chosen[k] = static_cast<std::int32_t>(k);
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* saved, const T* weights,
                                     const std::int32_t* /*chosen*/, const T* dweights,
                                     T* dlogits) {
    const T t = saved[N];
    const T sum = sum_above<N>(saved);
    T dot = 0;
    for (Index i = 0; i < N; ++i) dot += weights[i] * dweights[i];
    T dp[N];
    T dt = 0;
    for (Index i = 0; i < N; ++i) {
      dp[i] = saved[i] > t ? (dweights[i] - dot) / sum : T(0);
      dt -= dp[i];
    }
    softmax_backward<N>(saved, dp, dlogits);
    dlogits[N] = dt * t * (T(1) - t / static_cast<T>(tau(N)));
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index /*k*/,
                                 const std::vector<double>& /*bias*/) {
    const std::size_t n = scores.size() - 1;
    const auto p = reference::softmax(scores, allowed, n);
    const double t = tau(static_cast<Index>(n)) / (1 + std::exp(-scores[n]));
    GateReference g{std::vector<double>(n), {}};
    std::vector<double> above(n);
    for (std::size_t i = 0; i < n; ++i) {
      above[i] = std::max(p[i] - t, 0.0);
      if (above[i] > 0) g.chosen.push_back(static_cast<Index>(i));
      if (contains(allowed, static_cast<Index>(i))) g.gap = std::min(g.gap, std::abs(p[i] - t));
    }
    return reference::weighted(g, above, true);
  }

  bool operator==(const Threshold&) const = default;

 private:
  template <Index N, class T>
  BRANCHLORA_HD static T sum_above(const T* saved) {
    T sum = 0;
    for (Index i = 0; i < N; ++i) sum += saved[i] > saved[N] ? saved[i] - saved[N] : T(0);
    return sum;
  }
};

}  // namespace gating
}  // namespace branchlora
