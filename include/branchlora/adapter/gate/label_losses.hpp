/// @file
/// Losses of gates whose samples' tasks are known: each adds its gradient, at the scale of the
/// pass.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/gate.hpp"
#include "branchlora/adapter/gate/gates.hpp"
#include "branchlora/adapter/hyper.hpp"

namespace branchlora::gate {

/// dscores += the gradient of weight * mean over units of CE(scores over the allowed, label).
template <Index N, Backend B, Index K>
void add_routing_gradient(Tape<B>& tape, const Gates<typename B::Scalar, K>& g, BranchSet allowed,
                          double weight, MatrixView<typename B::Scalar> dscores) {
  using T = typename B::Scalar;
  const Index units = g.logits.rows;
  const T scale = tape.loss_scale() * static_cast<T>(weight / static_cast<double>(units));
  tape.backend().for_each(units, [=] BRANCHLORA_BODY(Index i) {
    T p[N];
    softmax<N>(g.logits.row(i), allowed, p);
    T* d = dscores.row(i);
    for (Index b = 0; b < N; ++b) d[b] += scale * (p[b] - (b == g.labels[i] ? T(1) : T(0)));
  });
}

/// dweights += the gradient of balance_weight * var(Z) / mean(Z)^2, with Z as `balance::Localised`
/// says and importances of `Balance`. Every token is a unit.
template <class Balance, Backend B, Index K>
void add_weight_balance_gradient(Tape<B>& tape, const Gates<typename B::Scalar, K>& g,
                                 const Hyper& hyper, MatrixView<typename B::Scalar> dweights) {
  using T = typename B::Scalar;
  auto& backend = tape.backend();
  const Index branches = g.weights.cols;
  const Index samples = g.sequences->count();
  thread_local std::vector<T> host;
  host.clear();
  for (Index s = 0; s < samples; ++s) {
    const auto task = static_cast<std::uint64_t>(g.tasks[static_cast<std::size_t>(s)]);
    const int type = static_cast<int>(hyper.task_types >> task % 64 & 1U);
    for (int b = 0; b < branches; ++b) {
      host.push_back(static_cast<T>(
          Balance::importance(b, static_cast<int>(branches), type, hyper.balance_delta)));
    }
  }
  const T* importance = tape.upload(std::span<const T>(host));
  const Index* offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
  const std::int32_t* sample_of = units_of_tokens(tape, *g.sequences);
  const auto z = tape.scratch(samples, branches);
  backend.for_each(z.size(), [=] BRANCHLORA_BODY(Index i) {
    T sum = 0;
    for (Index t = offsets[i / branches]; t < offsets[i / branches + 1]; ++t) {
      sum += g.weights(t, i % branches);
    }
    z.data[i] = importance[i] * sum;
  });
  const auto n = static_cast<double>(z.size());
  const double mean = backend.sum(z.size(), [=] BRANCHLORA_BODY(Index i) {
    return static_cast<double>(z.data[i]);
  }) / n;
  const double variance = backend.sum(z.size(), [=] BRANCHLORA_BODY(Index i) {
    return (static_cast<double>(z.data[i]) - mean) * (static_cast<double>(z.data[i]) - mean);
  }) / n;
  // d(var / mean^2) / dZ = 2 (Z - mean - var / mean) / (n mean^2)
  const T slope = tape.loss_scale() * static_cast<T>(2 * hyper.balance_weight / (n * mean * mean));
  const T middle = static_cast<T>(mean + variance / mean);
  backend.for_each(dweights.rows, [=] BRANCHLORA_BODY(Index t) {
    for (Index b = 0; b < branches; ++b) {
      const Index i = sample_of[t] * branches + b;
      dweights(t, b) += slope * importance[i] * (z.data[i] - middle);
    }
  });
}

}  // namespace branchlora::gate
