/// @file
/// The steps that every gate is made of: softmax over a set of branches, and the k best.
#pragma once

#include <cstdint>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/math.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::gate {

/// Whether branch `i` is in the set.
BRANCHLORA_HD constexpr bool has(BranchSet set, Index i) { return ((set >> i) & 1U) != 0; }

/// probabilities = softmax of logits over the allowed branches, zero elsewhere.
template <Index N, class T>
BRANCHLORA_HD void softmax(const T* logits, BranchSet allowed, T* probabilities) {
  T highest = math::lowest<T>();
  for (Index i = 0; i < N; ++i) {
    if (has(allowed, i) && logits[i] > highest) highest = logits[i];
  }
  T sum = 0;
  for (Index i = 0; i < N; ++i) {
    probabilities[i] = has(allowed, i) ? math::exp(logits[i] - highest) : T(0);
    sum += probabilities[i];
  }
  for (Index i = 0; i < N; ++i) probabilities[i] /= sum;
}

/// The sum over the K chosen branches of a b.
template <Index K, class T>
BRANCHLORA_HD T dot_chosen(const T* a, const T* b, const std::int32_t* chosen) {
  T dot = 0;
  for (Index k = 0; k < K; ++k) dot += a[chosen[k]] * b[chosen[k]];
  return dot;
}

/// dlogits = the gradient of `softmax`, given that of the probabilities of the K chosen branches
/// (the others have none).
template <Index N, Index K, class T>
BRANCHLORA_HD void softmax_backward(const T* probabilities, const std::int32_t* chosen,
                                    const T* dprobabilities, T* dlogits) {
  const T dot = dot_chosen<K>(probabilities, dprobabilities, chosen);
  for (Index i = 0; i < N; ++i) dlogits[i] = -probabilities[i] * dot;
  for (Index k = 0; k < K; ++k) {
    dlogits[chosen[k]] += probabilities[chosen[k]] * dprobabilities[chosen[k]];
  }
}

/// dlogits = the gradient of `softmax`, given that of all probabilities.
template <Index N, class T>
BRANCHLORA_HD void softmax_backward(const T* probabilities, const T* dprobabilities, T* dlogits) {
  T dot = 0;
  for (Index i = 0; i < N; ++i) dot += probabilities[i] * dprobabilities[i];
  for (Index i = 0; i < N; ++i) dlogits[i] = probabilities[i] * (dprobabilities[i] - dot);
}

/// All N branches: the allowed ones, best first, then the others; ties to the lower index. Without
/// a branch of code that depends on the scores.
template <Index N, class T>
BRANCHLORA_HD void in_order(const T* scores, BranchSet allowed, std::int32_t* order) {
  Index place[N] = {};
  for (Index i = 0; i < N; ++i) {
    order[i] = static_cast<std::int32_t>(i);
    for (Index j = 0; j < i; ++j) {
      const bool higher = has(allowed, i) && (!has(allowed, j) || scores[i] > scores[j]);
      place[i] += higher ? 0 : 1;
      place[j] += higher ? 1 : 0;
    }
  }
  for (Index i = 0; i < N; ++i) order[place[i]] = static_cast<std::int32_t>(i);
}

/// The K allowed branches of the highest score, best first, ties to the lower index. If fewer are
/// allowed, others follow in order of index; their gate must be zero. Returns the set of chosen
/// branches that are allowed.
template <Index N, Index K, class T>
BRANCHLORA_HD BranchSet top_k(const T* scores, BranchSet allowed, std::int32_t* chosen) {
  if constexpr (K == N) {
    in_order<N>(scores, allowed, chosen);
    return allowed & first_branches(N);
  }
  BranchSet taken = 0;
  BranchSet kept = 0;
  for (Index k = 0; k < K; ++k) {
    Index best = -1;
    for (Index i = 0; i < N; ++i) {
      if (has(taken, i) || !has(allowed, i)) continue;
      if (best < 0 || scores[i] > scores[best]) best = i;
    }
    if (best >= 0) {
      kept |= BranchSet{1} << best;
    } else {
      for (best = 0; has(taken, best);) ++best;
    }
    taken |= BranchSet{1} << best;
    chosen[k] = static_cast<std::int32_t>(best);
  }
  return kept;
}

/// weights = the K largest of the allowed values divided by their sum, which is returned; zero
/// elsewhere.
template <Index N, Index K, class T>
BRANCHLORA_HD T shares(const T* values, BranchSet allowed, T* weights, std::int32_t* chosen) {
  const BranchSet kept = top_k<N, K>(values, allowed, chosen);
  T sum = 0;
  for (Index i = 0; i < N; ++i) {
    weights[i] = has(kept, i) ? values[i] : T(0);
    sum += weights[i];
  }
  for (Index i = 0; i < N; ++i) weights[i] /= sum;
  return sum;
}

/// All weight for one branch, chosen first; the others of the K follow in order of index.
template <Index N, Index K, class T>
BRANCHLORA_HD void only(Index branch, T* weights, std::int32_t* chosen) {
  for (Index i = 0; i < N; ++i) weights[i] = i == branch ? T(1) : T(0);
  top_k<N, K>(weights, BranchSet{1} << branch, chosen);
}

}  // namespace branchlora::gate
