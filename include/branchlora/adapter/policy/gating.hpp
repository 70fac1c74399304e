/// @file
/// Policy: how scores become gate weights.
#pragma once

#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace gating {
struct TopKThenSoftmax;
}

/// A gating without biases: see `GatingPolicy`.
template <class P>
concept UnbiasedGating = requires(const double* in, BranchSet allowed, double* out,
                                  std::int32_t* chosen) {
  P::template forward<2, 1>(in, allowed, out, out, chosen);
};
/// A gating that is given a bias of each branch: see `GatingPolicy`.
template <class P>
concept BiasedGating = requires(const double* in, BranchSet allowed, double* out,
                                std::int32_t* chosen) {
  P::template forward<2, 1>(in, in, allowed, out, out, chosen);
};

namespace category {
/// How scores become weights. Default: `gating::TopKThenSoftmax`. Without top-k all forms agree.
struct Gating {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool forward = UnbiasedGating<P> || BiasedGating<P>;
    static_assert(forward || !say,
                  "A policy of category::Gating lacks `static void forward<N, K>(const T* logits, "
                  "BranchSet allowed, T* saved, T* weights, std::int32_t* chosen)`: from scores to "
                  "weights (`const T* bias` comes second, if it takes one).");
    constexpr bool backward = requires(const double* in, double* out, const std::int32_t* chosen) {
      P::template backward<2, 1>(in, in, chosen, in, out);
    };
    static_assert(backward || !say,
                  "A policy of category::Gating lacks `static void backward<N, K>(const T* saved, "
                  "const T* weights, const std::int32_t* chosen, const T* dweights, T* dlogits)`: "
                  "the gradient of the scores.");
    return forward && backward;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = gating::TopKThenSoftmax;
};
}  // namespace category

/// Asks for the two bodies that make one gate vector, for N branches of which K are chosen. They
/// allocate nothing and run on host and device alike:
///
/// - `forward<N, K>(logits, allowed, saved, weights, chosen)` writes the weight of every branch
///   (zero where not chosen or not allowed), the K chosen branches, and N scalars of its own;
/// - `backward<N, K>(saved, weights, chosen, dweights, dlogits)` writes all of dlogits and reads
///   dweights of the chosen branches only.
///
/// A `BiasedGating` is given a bias of each branch too, after the logits, which nothing trains.
template <class P>
concept GatingPolicy = PolicyOf<P, category::Gating> && category::Gating::accepts<P>;

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

  bool operator==(const SoftmaxThenTopK&) const = default;
};

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

  bool operator==(const RankPrefix&) const = default;
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

  bool operator==(const Argmax&) const = default;
};

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

  bool operator==(const SoftmaxRenormalised&) const = default;
};

}  // namespace gating
}  // namespace branchlora
