/// @file
/// Units: all tokens of a sequence share its gates. A team of threads a sequence.
#pragma once

#include <concepts>
#include <cstdint>

#include "branchlora/adapter/gate/token_units.hpp"
#include "branchlora/adapter/policy/granularity.hpp"

namespace branchlora::gate {

/// Both passes of the gates of sequences, from scores on.
template <Backend B, class V>
struct SequenceUnits {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  static constexpr Index top_k = V::top_k;

  /// Scores and weighs each sequence, and gives its choice to its tokens.
  template <class Scores>
  static void forward(Tape<B>& tape, const Scores& scores, Var<T> x, const Pass& g, T temperature) {
    const auto score = scores.scorer(tape, x.value(), g);
    const Weigh<V, T> weigh{g, temperature};
    tape.backend().for_rows(g.weights.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
      score(team, s);
      team.loop(1, [=](Index) { weigh(s, score.routers[s].allowed, score.routers[s].bias); });
      const Pass& gates = weigh.g;
      const Index first = gates.offsets[s];
      team.loop(gates.offsets[s + 1] - first, [=](Index i) {
        for (Index k = 0; k < top_k; ++k) {
          weigh.g.chosen[(first + i) * top_k + k] = weigh.g.unit_chosen[s * top_k + k];
        }
      });
    });
  }

  /// From the gradient of the gates of all tokens to that of their sequences' scores / temperature,
  /// divided by `divisor`.
  static void close(Tape<B>& tape, const Pass& g, const GateGradients<T>& d, T divisor) {
    const auto dweights = tape.scratch(d.logits.rows, V::capacity);
    tape.backend().for_rows(d.logits.rows, [=] BRANCHLORA_BODY(auto team, Index s) {
      const std::int32_t* chosen = g.unit_chosen + s * top_k;
      sum_of_tokens(team, g, s, d.gates, dweights.row(s));
      team.loop(1, [=](Index) {
        T* dlogits = d.logits.row(s);
        weigh_backward<V>(g, s, chosen, dweights.row(s), dlogits);
        for (Index b = 0; b < V::gate_rows; ++b) dlogits[b] /= divisor;
      });
    });
  }

  /// The gradient of the gates of sequence s, of its chosen branches: the sum over its tokens.
  template <class Team>
  BRANCHLORA_BODY static void sum_of_tokens(const Team& team, const Pass& g, Index s,
                                            MatrixView<T> dgates, T* to) {
    const std::int32_t* chosen = g.unit_chosen + s * top_k;
    const Index first = g.offsets[s];
    const Index length = g.offsets[s + 1] - first;
    if constexpr (std::same_as<typename V::Granularity, per::Task>) {
      // All branches may be chosen: a thread each.
      team.loop(top_k, [=](Index k) {
        T sum = 0;
        for (Index i = 0; i < length; ++i) sum += dgates(first + i, chosen[k]);
        to[chosen[k]] = sum;
      });
    } else {
      for (Index k = 0; k < top_k; ++k) {
        const T sum = team.sum(length, [=](Index i) { return dgates(first + i, chosen[k]); });
        team.loop(1, [=](Index) { to[chosen[k]] = sum; });
      }
    }
  }
};

/// The units of variant V.
template <Backend B, class V>
using UnitsOf =
    std::conditional_t<V::Granularity::per_sequence, SequenceUnits<B, V>, TokenUnits<B, V>>;

}  // namespace branchlora::gate
