/// @file
/// Gatings that choose the k best branches and weigh them by a softmax, or by 1.
#pragma once

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

/// Softmax over the chosen branches: the weights of a token sum to 1.
struct TopKThenSoftmax {
  using Category = category::Gating;
  static constexpr std::string_view name() { return "gating::TopKThenSoftmax"; }

  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* /*saved*/, T* weights,
                                    std::int32_t* chosen) {
    const BranchSet kept = top_k<N, K>(logits, allowed, chosen);
    softmax_of_chosen<N, K>(logits, kept, chosen, weights);
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* /*saved*/, const T* weights,
                                     const std::int32_t* chosen, const T* dweights, T* dlogits) {
    softmax_backward<N, K>(weights, chosen, dweights, dlogits);
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index k,
                                 const std::vector<double>& /*bias*/) {
    const auto p = reference::softmax(scores, allowed, scores.size());
    return reference::weighted(reference::best(scores, allowed, k), p, true);
  }

  bool operator==(const TopKThenSoftmax&) const = default;
};

/// Softmax over all allowed branches, of which the largest are kept as they are: the weights of a
/// token sum to at most 1, and the scores of the branches left out receive a gradient too.
struct SoftmaxThenTopK {
  using Category = category::Gating;
  static constexpr std::string_view name() { return "gating::SoftmaxThenTopK"; }

  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* saved, T* weights,
                                    std::int32_t* chosen) {
    softmax<N>(logits, allowed, saved);
    const BranchSet kept = top_k<N, K>(logits, allowed, chosen);
    for (Index i = 0; i < N; ++i) weights[i] = contains(kept, i) ? saved[i] : T(0);
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* saved, const T* /*weights*/,
                                     const std::int32_t* chosen, const T* dweights, T* dlogits) {
    softmax_backward<N, K>(saved, chosen, dweights, dlogits);
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index k,
                                 const std::vector<double>& /*bias*/) {
    const auto p = reference::softmax(scores, allowed, scores.size());
    return reference::weighted(reference::best(scores, allowed, k), p, false);
  }

  bool operator==(const SoftmaxThenTopK&) const = default;
};

/// The best branch alone, with weight 1. No gradient reaches the scores.
struct Argmax {
  using Category = category::Gating;
  /// The router learns from supervision or not at all.
  static constexpr bool needs_supervision = true;
  static constexpr std::string_view name() { return "gating::Argmax"; }

  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, BranchSet allowed, T* /*saved*/, T* weights,
                                    std::int32_t* chosen) {
    top_k<N, 1>(logits, allowed, chosen);
    only<N, K>(chosen[0], weights, chosen);
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* /*saved*/, const T* /*weights*/,
                                     const std::int32_t* /*chosen*/, const T* /*dweights*/,
                                     T* dlogits) {
    for (Index i = 0; i < N; ++i) dlogits[i] = T(0);
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index /*k*/,
                                 const std::vector<double>& /*bias*/) {
    GateReference g = reference::best(scores, allowed, 1);
    g.weights[static_cast<std::size_t>(g.chosen[0])] = 1;
    return g;
  }

  bool operator==(const Argmax&) const = default;
};

}  // namespace gating
}  // namespace branchlora
