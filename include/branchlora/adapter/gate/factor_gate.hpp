/// @file
/// The choice of rank-1 factors from two pools, once for each sequence.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>

#include "branchlora/adapter/gate/gate_memory.hpp"
#include "branchlora/adapter/gate/gating_steps.hpp"
#include "branchlora/adapter/gate/sequence_mean.hpp"
#include "branchlora/adapter/gate/token_units.hpp"
#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/nn/init.hpp"

namespace branchlora {

/// The factors that a batch uses. A token's r-th factor of A, `a(t, r)`, goes with its r-th of B.
template <class T, Index R>
struct ChosenFactors {
  GatePass<T, R> a, b;  ///< Of both, `weights` are those of the R pairs: units x R.
  const Sequences* sequences = nullptr;
  MatrixView<T> means, a_scores, b_scores;  ///< Sequences x d_in, and probabilities over the pool.
  MatrixView<T> condition;  ///< What the chosen A's say of B, probabilities: sequences x E.
  MatrixView<T> pool;       ///< What each a says of B as r-th choice: E x (R E).
};

/// The routers of `ConditionalMixLora`, with h the mean of a sequence's inputs:
///
///     p = softmax(W_A h), I_A = the R largest
///     q = softmax(W_B h) [+ lambda softmax(sum over r of softmax(W_r a_{I_A[r]}))], I_B likewise
///
/// the bracket where the choice is conditional. Where factors are weighted by their scores, pair r
/// has the weight p_{I_A[r]} q_{I_B[r]} in units of the mean scores; else 1, and routers are random
/// projections that never train.
template <Backend B, class V>
class FactorGate {
 public:
  using T = typename B::Scalar;
  static constexpr Index pool = V::pool;
  static constexpr Index rank = V::rank;
  static constexpr T lambda = T(1);
  /// Turns a product of scores into units of the mean scores, 1 / E and (1 + lambda) / E.
  static constexpr T unit = static_cast<T>(pool * pool) / (V::conditional ? T(1) + lambda : T(1));
  using Factors = ChosenFactors<T, rank>;

  /// Adds `name`.router_A and .router_B (E x d_in each) and, for conditional choice,
  /// .router_condition (W_r below each other: R E x d_in), uniform in +-1/sqrt(d_in).
  FactorGate(ParameterSet<B>& parameters, const std::string& name, Index d_in, const Random& random)
      : name_(name) {
    const auto routers =
        parameters.add_stack({{name + ".router_A", pool}, {name + ".router_B", pool}}, d_in);
    a_router_ = routers[0];
    b_router_ = routers[1];
    start(parameters, *a_router_, random);
    start(parameters, *b_router_, random);
    if constexpr (V::conditional) {
      condition_ = &parameters.add(name + ".router_condition", rank * pool, d_in);
      start(parameters, *condition_, random);
    }
  }

  /// The choice of every sequence of x, given the pool of A's factors, E x d_in.
  Factors open(Tape<B>& tape, Var<T> x, const RoutingContext& context,
               MatrixView<const T> factors) {
    auto& backend = tape.backend();
    Factors f;
    f.sequences = context.sequences;
    f.a.chosen = tape.template array<std::int32_t>(x.rows() * rank);
    f.b.chosen = tape.template array<std::int32_t>(x.rows() * rank);
    if (context.memory == RoutingContext::Memory::reuse) {
      a_memory_.recall(tape, x.rows(), rank, name_, f.a);
      b_memory_.recall(tape, x.rows(), rank, name_, f.b);
      return f;
    }
    const Index count = f.sequences->count();
    f.means = gate::sequence_means<per::MeanToken>(tape, *f.sequences, x.value());
    f.a_scores = tape.scratch(count, pool);
    f.b_scores = tape.scratch(count, pool);
    f.a.weights = f.b.weights = tape.scratch(count, rank);
    const auto logits = tape.scratch(count, 2 * pool);
    backend.skinny_dot(f.means, both(a_router_->value), T(1), logits, false, Chosen{});
    if constexpr (V::conditional) {
      f.condition = tape.scratch(count, pool);
      f.pool = tape.scratch(pool, rank * pool);
      backend.skinny_dot(factors, condition_->value, T(1), f.pool, false, Chosen{});
      backend.for_each(pool * rank, [p = f.pool] BRANCHLORA_BODY(Index i) {
        T* block = p.row(i / rank) + i % rank * pool;
        gating::softmax<pool>(block, all, block);
      });
    }
    f.a.unit_chosen = tape.template array<std::int32_t>(count * rank);
    f.b.unit_chosen = tape.template array<std::int32_t>(count * rank);
    backend.for_each(count, [=] BRANCHLORA_BODY(Index s) {
      const T* l = logits.row(s);
      std::int32_t* ia = f.a.unit_chosen + s * rank;
      std::int32_t* ib = f.b.unit_chosen + s * rank;
      gating::softmax<pool>(l, all, f.a_scores.row(s));
      gating::softmax<pool>(l + pool, all, f.b_scores.row(s));
      gating::top_k<pool, rank>(l, all, ia);
      choose_b(f, s, ia, l + pool, ib);
      for (Index r = 0; r < rank; ++r) {
        f.a.weights(s, r) = V::scored ? unit * f.a_scores(s, ia[r]) * b_score(f, s, ib[r]) : T(1);
      }
    });
    f.a.unit_of = f.b.unit_of = gate::units_of_tokens(tape, *f.sequences);
    gate::for_tokens(backend, f.a, 0, x.rows(), Spread{});
    gate::for_tokens(backend, f.b, 0, x.rows(), Spread{});
    if (context.memory == RoutingContext::Memory::remember) {
      a_memory_.remember(backend, f.a);
      b_memory_.remember(backend, f.b);
    }
    return f;
  }

  /// From the gradient of the weights of each token's pairs (tokens x R) to those of the routers,
  /// of A's factors, `a`, and of x. For scored factors alone.
  void close(Tape<B>& tape, Var<T> x, const Factors& f, MatrixView<const T> dweights,
             Parameter<T>& a) {
    auto& backend = tape.backend();
    const Index count = f.sequences->count();
    const Index* offsets = tape.upload(std::span<const Index>(f.sequences->offsets));
    const auto dlogits = tape.scratch(count, 2 * pool);
    const auto dcondition = tape.scratch(count, pool);
    backend.for_each(count, [=] BRANCHLORA_BODY(Index s) {
      T dp[pool] = {};
      T dq[pool] = {};
      for (Index r = 0; r < rank; ++r) {
        T d = 0;
        for (Index t = offsets[s]; t < offsets[s + 1]; ++t) d += dweights(t, r);
        const Index i = f.a.chosen_of(offsets[s])[r];
        const Index j = f.b.chosen_of(offsets[s])[r];
        dp[i] += unit * b_score(f, s, j) * d;
        dq[j] += unit * f.a_scores(s, i) * d;
      }
      gating::softmax_backward<pool>(f.a_scores.row(s), dp, dlogits.row(s));
      gating::softmax_backward<pool>(f.b_scores.row(s), dq, dlogits.row(s) + pool);
      if (V::conditional) {
        for (T& d : dq) d *= lambda;
        gating::softmax_backward<pool>(f.condition.row(s), dq, dcondition.row(s));
      }
    });
    if constexpr (V::conditional) close_condition(tape, f, dcondition, a);
    if (a_router_->trainable || b_router_->trainable) {
      const auto dw = a_router_->sink();
      b_router_->has_grad = true;
      backend.skinny_outer(dlogits, f.means, T(1), both(dw.view), dw.add, Chosen{});
    }
    if (x.needs_grad()) {
      const auto dmeans = tape.scratch(count, x.cols());
      backend.skinny_axpy(dlogits, both(a_router_->value), T(1), dmeans, false, Chosen{});
      gate::sequence_means_backward<per::MeanToken>(tape, *f.sequences, x, dmeans);
    }
  }

  // Public since nvcc takes bodies from public functions only.

  /// Gives a token the choice of its sequence.
  struct Spread {
    BRANCHLORA_HD void operator()(const GatePass<T, rank>& g, Index t) const {
      for (Index k = 0; k < rank; ++k) {
        g.chosen[t * rank + k] = g.unit_chosen[g.unit(t) * rank + k];
      }
    }
  };

  /// From the gradient of the sum that `condition` is the softmax of to those of W_r and A.
  void close_condition(Tape<B>& tape, const Factors& f, MatrixView<const T> dcondition,
                       Parameter<T>& a) {
    auto& backend = tape.backend();
    const Index* offsets = tape.upload(std::span<const Index>(f.sequences->offsets));
    const auto dpool = tape.scratch(pool, rank * pool);
    backend.for_each(pool * rank, [=, count = f.sequences->count()] BRANCHLORA_BODY(Index n) {
      const Index e = n / rank;
      const Index r = n % rank;
      T dp[pool] = {};
      for (Index s = 0; s < count; ++s) {
        if (f.a.chosen_of(offsets[s])[r] != e) continue;
        for (Index i = 0; i < pool; ++i) dp[i] += dcondition(s, i);
      }
      gating::softmax_backward<pool>(f.pool.row(e) + r * pool, dp, dpool.row(e) + r * pool);
    });
    if (condition_->trainable) {
      const auto dw = condition_->sink();
      backend.skinny_outer(dpool, a.value, T(1), dw.view, dw.add, Chosen{});
    }
    if (a.trainable) {
      const auto da = a.sink();
      backend.skinny_axpy(dpool, condition_->value, T(1), da.view, da.add, Chosen{});
    }
  }

 private:
  static constexpr BranchSet all = first_branches(static_cast<int>(pool));

  static void start(ParameterSet<B>& parameters, Parameter<T>& router, const Random& random) {
    nn::fill_uniform(parameters, router, random,
                     1.0 / std::sqrt(static_cast<double>(router.value.cols)));
    parameters.set_trainable(router, V::scored);
    router.constant = !V::scored;
  }

  /// W_A and W_B below it, or their gradients.
  static MatrixView<T> both(MatrixView<T> first) { return {first.data, 2 * pool, first.cols}; }

  /// The score of B's factor j for a sequence.
  BRANCHLORA_HD static T b_score(const Factors& f, Index s, Index j) {
    return f.b_scores(s, j) + (V::conditional ? lambda * f.condition(s, j) : T(0));
  }

  /// The R best of B's factors, given the choice of A's.
  BRANCHLORA_HD static void choose_b(const Factors& f, Index s, const std::int32_t* ia,
                                     const T* logits, std::int32_t* ib) {
    if (!V::conditional) {
      gating::top_k<pool, rank>(logits, all, ib);
      return;
    }
    T scores[pool] = {};
    for (Index r = 0; r < rank; ++r) {
      for (Index e = 0; e < pool; ++e) scores[e] += f.pool(ia[r], r * pool + e);
    }
    gating::softmax<pool>(scores, all, f.condition.row(s));
    for (Index e = 0; e < pool; ++e) scores[e] = b_score(f, s, e);
    gating::top_k<pool, rank>(scores, all, ib);
  }

  std::string name_;
  Parameter<T>* a_router_;
  Parameter<T>* b_router_;
  Parameter<T>* condition_ = nullptr;
  GateMemory<B, rank> a_memory_, b_memory_;
};

}  // namespace branchlora
