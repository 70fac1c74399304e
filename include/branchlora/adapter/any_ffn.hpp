/// @file
/// What may stand in place of a decoder block's feed-forward layer.
#pragma once

#include "branchlora/adapter/adapted_linear.hpp"

namespace branchlora {

/// The three linears of a gated feed-forward layer: down(silu(gate x) * up x).
template <Backend B>
struct FfnLinears {
  AdaptedLinear<B>& gate;
  AdaptedLinear<B>& up;
  AdaptedLinear<B>& down;
};

/// A feed-forward layer built over the three linears of a block, for methods whose experts are
/// whole layers. It may leave adapters on the linears, which hold its parameters; it applies them
/// itself.
template <Backend B>
class AnyFfn {
 public:
  using T = typename B::Scalar;

  AnyFfn() = default;
  AnyFfn(const AnyFfn&) = delete;
  AnyFfn& operator=(const AnyFfn&) = delete;
  virtual ~AnyFfn() = default;

  /// The layer's output for x, tokens x width. `linears` are those that it was made over.
  virtual Var<T> operator()(Tape<B>& tape, const FfnLinears<B>& linears, Var<T> x,
                            const RoutingContext& context) = 0;
};

}  // namespace branchlora
