/// @file
/// What every adapter does to its input in training.
#pragma once

#include <string>

#include "branchlora/adapter/routing_context.hpp"
#include "branchlora/autograd/op/dropout.hpp"

namespace branchlora {

/// x with elements dropped at `rate` where a batch draws dropout, which each layer does from its
/// own `name`; x itself else.
template <Backend B>
Var<typename B::Scalar> input_dropout(Tape<B>& tape, Var<typename B::Scalar> x, double rate,
                                      const RoutingContext& context, const std::string& name) {
  if (rate > 0 && context.dropout != nullptr) {
    return op::dropout(tape, x, rate, context.dropout->fork(name));
  }
  return x;
}

}  // namespace branchlora
