/// @file
/// Gatings with a bias: the largest of sigmoid or softmax plus bias, as shares of their sum.
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

/// The largest of g = sigmoid(scores) + bias, divided by their sum: the weights of a token sum to
/// 1. The bias is part of the weight, not of the choice alone. SMoRA's.
struct SigmoidRenormalised {
  using Category = category::Gating;
  static constexpr std::string_view name() { return "gating::SigmoidRenormalised"; }

  /// Saves sigmoid' / sum.
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, const T* bias, BranchSet allowed, T* saved,
                                    T* weights, std::int32_t* chosen) {
    for (Index i = 0; i < N; ++i) saved[i] = math::sigmoid(logits[i]) + bias[i];
    const T sum = shares<N, K>(saved, allowed, weights, chosen);
    for (Index i = 0; i < N; ++i) {
      const T p = math::sigmoid(logits[i]);
      saved[i] = contains(allowed, i) ? p * (T(1) - p) / sum : T(0);
    }
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* saved, const T* weights, const std::int32_t* chosen,
                                     const T* dweights, T* dlogits) {
    const T dot = dot_chosen<K>(weights, dweights, chosen);
    for (Index i = 0; i < N; ++i) dlogits[i] = T(0);
    for (Index k = 0; k < K; ++k) {
      dlogits[chosen[k]] = saved[chosen[k]] * (dweights[chosen[k]] - dot);
    }
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index k,
                                 const std::vector<double>& bias) {
    std::vector<double> g;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      g.push_back(1 / (1 + std::exp(-scores[i])) + bias[i]);
    }
    return reference::weighted(reference::best(g, allowed, k), g, true);
  }

  bool operator==(const SigmoidRenormalised&) const = default;
};

/// The same with g = softmax(scores) + bias, over all allowed branches.
struct SoftmaxRenormalised {
  using Category = category::Gating;
  static constexpr std::string_view name() { return "gating::SoftmaxRenormalised"; }

  /// Saves softmax / sum.
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void forward(const T* logits, const T* bias, BranchSet allowed, T* saved,
                                    T* weights, std::int32_t* chosen) {
    softmax<N>(logits, allowed, saved);
    for (Index i = 0; i < N; ++i) saved[i] += bias[i];
    const T sum = shares<N, K>(saved, allowed, weights, chosen);
    softmax<N>(logits, allowed, saved);
    for (Index i = 0; i < N; ++i) saved[i] /= sum;
  }
  template <Index N, Index K, class T>
  BRANCHLORA_HD static void backward(const T* saved, const T* weights, const std::int32_t* chosen,
                                     const T* dweights, T* dlogits) {
    const T dot = dot_chosen<K>(weights, dweights, chosen);
    T total = 0;
    T mean = 0;
    for (Index k = 0; k < K; ++k) mean += saved[chosen[k]] * (dweights[chosen[k]] - dot);
    for (Index i = 0; i < N; ++i) total += saved[i];
    for (Index i = 0; i < N; ++i) dlogits[i] = -saved[i] / total * mean;
    for (Index k = 0; k < K; ++k) {
      dlogits[chosen[k]] += saved[chosen[k]] * (dweights[chosen[k]] - dot);
    }
  }

  static GateReference reference(const std::vector<double>& scores, BranchSet allowed, Index k,
                                 const std::vector<double>& bias) {
    auto g = reference::softmax(scores, allowed, scores.size());
    for (std::size_t i = 0; i < g.size(); ++i) g[i] += bias[i];
    return reference::weighted(reference::best(g, allowed, k), g, true);
  }

  bool operator==(const SoftmaxRenormalised&) const = default;
};

}  // namespace gating
}  // namespace branchlora
