/// @file
/// Units: every token has gates of its own.
#pragma once

#include <cstdint>

#include "branchlora/adapter/gate/routers.hpp"
#include "branchlora/adapter/gate/weigh.hpp"
#include "branchlora/core/plan.hpp"

namespace branchlora::gate {

/// What a gate calls for each token where nothing is fused into its steps: does nothing.
struct NoMix {
  template <class Pass>
  BRANCHLORA_HD void operator()(const Pass& /*gates*/, Index /*token*/) const {}
};

inline constexpr NoMix no_mix{};

/// Calls `what(gates, token)` for the tokens `first .. first + count`.
template <Backend B, class Pass, class What>
void for_tokens(B& backend, const Pass& g, Index first, Index count, What what) {
  backend.for_each(count, [=] BRANCHLORA_BODY(Index i) { what(g, first + i); });
}

/// The same as a row-wise step of `plan`. `g` and `what` must outlive it.
template <Backend B, class Pass, class What>
void for_tokens(Plan<B>& plan, const Pass& g, const What& what) {
  plan.rowwise({}, [&g, &what](B& backend, Index first, Index count) {
    for_tokens(backend, g, first, count, what);
  });
}

/// Divides the gradient of scores / temperature by the temperature: then it is that of the scores.
template <Backend B, class T = typename B::Scalar>
void cool(B& backend, MatrixView<T> m, T temperature) {
  backend.for_each(m.rows, [=] BRANCHLORA_BODY(Index i) {
    for (Index c = 0; c < m.cols; ++c) m(i, c) /= temperature;
  });
}

/// Both passes of the gates of tokens, from scores on, some tokens at a time.
template <Backend B, class V>
struct TokenUnits {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;

  /// Scores and weighs the tokens `first .. first + count`, and calls `mix(gates, token)` for each.
  template <class Scores, class Mix>
  static void forward(B& backend, const Scores& scores, const Pass& g, T temperature, Index first,
                      Index count, Mix mix) {
    for_unit_runs<V>(scores.routers(), g, first, count, [&](const auto& r, Index begin, Index n) {
      scores.score(backend, g, r, begin, n);
      backend.for_each(n, Forward<Mix>{{g, temperature}, mix, begin, r.allowed, r.bias_data()});
    });
  }

  /// For the tokens `first .. first + count`, calls `unmix(gates, token)`, which writes a token's
  /// row of `d.gates`, and goes on to the gradient of its scores.
  template <class Unmix>
  static void backward(B& backend, const Pass& g, const GateGradients<T>& d, T temperature,
                       Index first, Index count, Unmix unmix) {
    backend.for_each(count, Backward<Unmix>{g, d, unmix, temperature, first});
  }

  /// From the gradient of the gates of all tokens to that of scores / temperature, divided by
  /// `divisor`.
  static void close(Tape<B>& tape, const Pass& g, const GateGradients<T>& d, T divisor) {
    tape.backend().for_each(d.logits.rows, Backward<NoMix>{g, d, {}, divisor, 0});
  }

  template <class Mix>
  struct Forward {
    Weigh<V, T> weigh;
    Mix mix;
    Index first;
    BranchSet allowed;
    const T* biases;

    BRANCHLORA_HD void operator()(Index i) const {
      weigh(first + i, allowed, biases);
      mix(weigh.g, first + i);
    }
  };

  template <class Unmix>
  struct Backward {
    Pass g;
    GateGradients<T> d;
    Unmix unmix;
    T temperature;
    Index first;

    BRANCHLORA_HD void operator()(Index i) const {
      const Index t = first + i;
      unmix(g, t);
      weigh_backward<V>(g, t, g.chosen_of(t), d.gates.row(t), d.logits.row(t));
      for (Index b = 0; b < V::gate_rows; ++b) d.logits(t, b) /= temperature;
    }
  };
};

}  // namespace branchlora::gate
