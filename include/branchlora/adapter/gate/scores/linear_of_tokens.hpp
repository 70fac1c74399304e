/// @file
/// Linear scores of tokens: the parts that go over runs of tokens with one router.
#pragma once

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/routers.hpp"

namespace branchlora::gate {

/// The backward pass of logits = R x / temperature for tokens, one R or one for each run of tokens.
template <Backend B, class V>
struct LinearOfTokens {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  using Router = typename Routers<B>::Router;

  /// The router of a batch, V::gate_rows x d_in, or nothing if its sequences have several.
  static MatrixView<const T> only_router(const Routers<B>& routers, const Pass& g) {
    const Router* only = nullptr;
    bool several = false;
    for_unit_runs<V>(routers, g, 0, g.logits.rows, [&](const Router& router, Index, Index) {
      several = several || (only != nullptr && only != &router);
      only = &router;
    });
    return several || only == nullptr ? MatrixView<const T>() : only->weight->value;
  }

  /// dR += dlogits^T x over the tokens `first .. first + count`, for each R that trains.
  static void sum(B& backend, const Routers<B>& routers, const Pass& g, MatrixView<const T> dlogits,
                  Index first, Index count) {
    for_unit_runs<V>(routers, g, first, count, [&](const Router& router, Index begin, Index n) {
      if (!router.weight->trainable) return;
      const auto dr = router.weight->sink();
      backend.skinny_outer(dlogits.middle_rows(begin, n), g.inputs.middle_rows(begin, n), T(1),
                           dr.view, dr.add, Chosen{});
    });
  }

  /// dx += dlogits R, each token with its own R.
  static void to_x(Tape<B>& tape, const Routers<B>& routers, const Pass& g, Var<T> x,
                   MatrixView<const T> dlogits) {
    if (g.silent || !x.needs_grad()) return;
    const auto dx = tape.gradient(x);
    for_unit_runs<V>(
        routers, g, 0, dlogits.rows, [&](const Router& router, Index first, Index count) {
          tape.backend().skinny_axpy(dlogits.middle_rows(first, count), router.weight->value, T(1),
                                     dx.view.middle_rows(first, count), dx.add, Chosen{});
        });
  }
};

}  // namespace branchlora::gate
