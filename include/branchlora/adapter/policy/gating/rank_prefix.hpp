/// @file
/// The gating that chooses a rank: all branches up to the best one.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/gate/reference.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace category {
struct Gating;
}

namespace gating {

/// The branches up to the most probable one, r, of N: branch j (from 1) has the weight (j / N)^2 if
/// j <= r, times 1 + p_r - stop(p_r), whose value is 1 and whose gradient is that of p_r, r's part
/// of the softmax over the allowed branches. With branches of rank 1 this chooses a rank. MoRE's;
/// row j of A and column j of B are each scaled by j / N there.
struct RankPrefix {
  using Category = category::Gating;
  /// All branches count as chosen.
  static constexpr bool needs_dense = true;
  static constexpr std::string_view name() { return "gating::RankPrefix"; }

  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* saved, T* weights,
                                    std::int32_t* chosen) {
    softmax<N>(logits, allowed, saved);
    top_k<N, 1>(logits, allowed, chosen);
    const Index best = chosen[0];
    for (Index j = 0; j < N; ++j) {
      const T share = static_cast<T>(j + 1) / static_cast<T>(N);
      weights[j] = j <= best ? share * share : T(0);
    }
    for (Index k = 0; k < K; ++k) chosen[k] = static_cast<std::int32_t>(k);
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* saved, const T* weights,
                                     const std::int32_t* /*chosen*/, const T* dweights,
                                     T* dlogits) {
    Index rank = 0;
    T d = 0;
    while (rank < N && weights[rank] > T(0)) {
      d += weights[rank] * dweights[rank];
      ++rank;
    }
    const T p = saved[rank - 1];
    for (Index i = 0; i < N; ++i) dlogits[i] = p * d * ((i == rank - 1 ? T(1) : T(0)) - saved[i]);
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index /*k*/,
                                 const std::vector<double>& /*bias*/) {
    GateReference g = reference::best(scores, allowed, 1);
    const auto n = static_cast<double>(scores.size());
    for (Index j = 0; j <= g.chosen[0]; ++j) {
      g.weights[static_cast<std::size_t>(j)] = std::pow(static_cast<double>(j + 1) / n, 2);
    }
    const auto p = reference::softmax(scores, allowed, scores.size());
    g.factor = p[static_cast<std::size_t>(g.chosen[0])];
    return g;
  }

  bool operator==(const RankPrefix&) const = default;
};

}  // namespace gating
}  // namespace branchlora
