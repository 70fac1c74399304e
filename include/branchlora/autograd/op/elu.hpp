/// @file
/// The exponential linear unit (Clevert et al., arXiv 1511.07289).
#pragma once

#include "branchlora/autograd/op/gelu.hpp"

namespace branchlora::op {

/// x where it is positive, e^x - 1 elsewhere.
struct Elu {
  template <class T>
  BRANCHLORA_HD static T value(T x) {
    return x > T(0) ? x : math::exp(x) - T(1);
  }
  template <class T>
  BRANCHLORA_HD static T slope(T x) {
    return x > T(0) ? T(1) : math::exp(x);
  }
};

/// The exponential linear unit of every element.
template <Backend B>
Var<typename B::Scalar> elu(Tape<B>& tape, Var<typename B::Scalar> x) {
  return elementwise<Elu>(tape, x);
}

}  // namespace branchlora::op
