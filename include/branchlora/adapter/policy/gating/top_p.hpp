/// @file
/// The gating of dynamic routing: as many branches as a share of the probability takes.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
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

/// With P = softmax of the scores over the allowed branches, the fewest most probable ones whose P
/// sum to at least `Percent` hundredths have the weight P_i / (that sum); the others have zero. At
/// least one branch has weight, all of them at 100. Ties go to the lower index. Every branch counts
/// as chosen, and is computed.
///
/// Huang et al., "Harder Tasks Need More Experts: Dynamic Routing in MoE Models", ACL 2024 (arXiv
/// 2403.07652). Uncertain: whether the paper divides by the sum. Left out: its entropy loss, which
/// keeps the router from spreading P; its balance loss is `balance::Switch`.
template <int Percent>
struct TopP {
  static_assert(Percent >= 1 && Percent <= 100,
                "The Percent of gating::TopP<Percent> must be from 1 to 100.");
  using Category = category::Gating;
  static constexpr bool needs_dense = true;
  static constexpr bool sparse_by_value = true;
  static std::string name() { return fmt::format("gating::TopP<{}>", Percent); }

  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* saved, T* weights,
                                    std::int32_t* chosen) {
    softmax<N>(logits, allowed, saved);
    std::int32_t order[N];
    in_order<N>(logits, allowed, order);
    T sum = 0;
    for (Index k = 0; k < N; ++k) {
      const Index i = order[k];
      const bool kept = k == 0 || sum < static_cast<T>(Percent / 100.0);
      weights[i] = kept ? saved[i] : T(0);
      sum += weights[i];
    }
    for (Index i = 0; i < N; ++i) weights[i] /= sum;
    for (Index k = 0; k < K; ++k) chosen[k] = order[k];
  }
  /// That of a softmax over the branches that have weight.
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* /*saved*/, const T* weights,
                                     const std::int32_t* /*chosen*/, const T* dweights,
                                     T* dlogits) {
    softmax_backward<N>(weights, dweights, dlogits);
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index /*k*/,
                                 const std::vector<double>& /*bias*/) {
    const auto p = reference::softmax(scores, allowed, scores.size());
    const auto order = reference::in_order(scores, allowed);
    const auto of = [&](std::size_t k) { return p[static_cast<std::size_t>(order[k])]; };
    double sum = of(0);
    std::size_t count = 1;
    while (count < order.size() && sum < Percent / 100.0) sum += of(count++);
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(count);
    GateReference g{std::vector<double>(p.size()), {order.begin(), end}};
    if (count < order.size()) g.gap = std::min(of(count - 1) - of(count), sum - Percent / 100.0);
    if (count > 1) g.gap = std::min(g.gap, Percent / 100.0 - (sum - of(count - 1)));
    return reference::weighted(g, p, true);
  }

  bool operator==(const TopP&) const = default;
};

}  // namespace gating
}  // namespace branchlora
