/// @file
/// The leaky rectifier (Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic
/// Models", 2013).
#pragma once

#include "branchlora/autograd/op/gelu.hpp"

namespace branchlora::op {

/// x where it is positive, 0.01 x elsewhere.
struct LeakyRelu {
  template <class T>
  BRANCHLORA_HD static T value(T x) {
    return x > T(0) ? x : T(0.01) * x;
  }
  template <class T>
  BRANCHLORA_HD static T slope(T x) {
    return x > T(0) ? T(1) : T(0.01);
  }
};

/// max(x, 0.01 x), element by element.
template <Backend B>
Var<typename B::Scalar> leaky_relu(Tape<B>& tape, Var<typename B::Scalar> x) {
  return elementwise<LeakyRelu>(tape, x);
}

}  // namespace branchlora::op
