/// @file
/// The functions that gatings are composed of: softmax over a set of branches, top-k, and their
/// gradients. One unit at a time, on host and device alike.
#pragma once

#include <cstdint>

#include "branchlora/adapter/policy/branch_set.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/math.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora::gating {

/// Divides weights by their sum, which is returned.
template <Index N, class T>
BRANCHLORA_HD T normalize(T* weights) {
  T sum = 0;
  for (Index i = 0; i < N; ++i) sum += weights[i];
  for (Index i = 0; i < N; ++i) weights[i] /= sum;
  return sum;
}

/// probabilities = softmax of logits over the allowed branches, zero elsewhere.
template <Index N, class T>
BRANCHLORA_HD void softmax(const T* logits, BranchSet allowed, T* probabilities) {
  T highest = math::lowest<T>();
  for (Index i = 0; i < N; ++i) {
    if (contains(allowed, i) && logits[i] > highest) highest = logits[i];
  }
  for (Index i = 0; i < N; ++i) {
    probabilities[i] = contains(allowed, i) ? math::exp(logits[i] - highest) : T(0);
  }
  normalize<N>(probabilities);
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

/// What a branch counts in a choice: its score, or less than every number if it is not allowed. A
/// score that is no number counts as the lowest one.
template <class T>
BRANCHLORA_HD T worth(const T* scores, BranchSet allowed, Index i) {
  const T score = scores[i] > math::lowest<T>() ? scores[i] : math::lowest<T>();
  return contains(allowed, i) ? score : -math::infinity<T>();
}

/// All N branches: the allowed ones, best first, then the others; ties to the lower index. Without
/// a branch of code that depends on the scores.
template <Index N, class T>
BRANCHLORA_HD void in_order(const T* scores, BranchSet allowed, std::int32_t* order) {
  constexpr auto n = static_cast<std::int32_t>(N);
  T worths[N];
  std::int32_t place[N];
  for (std::int32_t i = 0; i < n; ++i) {
    worths[i] = worth(scores, allowed, i);
    place[i] = 0;
  }
  for (std::int32_t j = 0; j < n; ++j) {
    for (std::int32_t i = 0; i < n; ++i) {
      const bool behind = j < i ? !(worths[i] > worths[j]) : worths[j] > worths[i];
      place[i] += behind ? 1 : 0;
    }
  }
  for (std::int32_t i = 0; i < n; ++i) order[place[i]] = i;
}

/// The K allowed branches of the highest score, best first, ties to the lower index. If fewer are
/// allowed, others follow in order of index; their gate must be zero. Returns the set of chosen
/// branches that are allowed.
template <Index N, Index K, class T>
BRANCHLORA_HD BranchSet top_k(const T* scores, BranchSet allowed, std::int32_t* chosen) {
  if constexpr (K == N) {
    in_order<N>(scores, allowed, chosen);
    return allowed & first_branches(N);
  } else {
    T best[K];
    std::int32_t at[K];
    for (Index k = 0; k < K; ++k) {
      best[k] = -math::infinity<T>();
      at[k] = -1;
    }
    for (std::int32_t i = 0; i < N; ++i) {
      const T here = worth(scores, allowed, i);
      // A better branch moves those behind it by one place, without a branch of code.
      for (Index k = K - 1; k > 0; --k) {
        const T behind = here > best[k] ? here : best[k];
        const std::int32_t its = here > best[k] ? i : at[k];
        at[k] = here > best[k - 1] ? at[k - 1] : its;
        best[k] = here > best[k - 1] ? best[k - 1] : behind;
      }
      at[0] = here > best[0] ? i : at[0];
      best[0] = here > best[0] ? here : best[0];
    }
    BranchSet kept = 0;
    Index count = 0;
    for (; count < K && at[count] >= 0; ++count) kept |= BranchSet{1} << at[count];
    for (Index k = 0; k < K; ++k) chosen[k] = at[k];
    for (std::int32_t i = 0; count < K; ++i) {
      if (!contains(kept, i)) chosen[count++] = i;
    }
    return kept;
  }
}

/// weights = softmax of the logits of the K chosen branches that were kept; zero elsewhere. The
/// first one chosen has the highest logit.
template <Index N, Index K, class T>
BRANCHLORA_HD void softmax_of_chosen(const T* logits, BranchSet kept, const std::int32_t* chosen,
                                     T* weights) {
  if constexpr (K == N) {
    softmax<N>(logits, kept, weights);
  } else {
    for (Index i = 0; i < N; ++i) weights[i] = T(0);
    for (Index k = 0; k < K; ++k) {
      const T exp = math::exp(logits[chosen[k]] - logits[chosen[0]]);
      weights[chosen[k]] = contains(kept, chosen[k]) ? exp : T(0);
    }
    normalize<N>(weights);
  }
}

/// weights = the K largest of the allowed values divided by their sum, which is returned; zero
/// elsewhere.
template <Index N, Index K, class T>
BRANCHLORA_HD T shares(const T* values, BranchSet allowed, T* weights, std::int32_t* chosen) {
  const BranchSet kept = top_k<N, K>(values, allowed, chosen);
  for (Index i = 0; i < N; ++i) weights[i] = contains(kept, i) ? values[i] : T(0);
  return normalize<N>(weights);
}

/// All weight for one branch, chosen first; the others of the K follow in order of index.
template <Index N, Index K, class T>
BRANCHLORA_HD void only(Index branch, T* weights, std::int32_t* chosen) {
  for (Index i = 0; i < N; ++i) weights[i] = i == branch ? T(1) : T(0);
  top_k<N, K>(weights, BranchSet{1} << branch, chosen);
}

}  // namespace branchlora::gating
