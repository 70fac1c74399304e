/// @file
/// From the load of each branch to the gradient of a balance loss.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/host_device.hpp"

namespace branchlora::gate {

/// The derivative of weight * sum over branches of `Balance`::slope(f_b) P_b by one unit's
/// probability of each of N branches, in backend memory: f_b is branch b's share of the choices,
/// `chosen`, units x K, and P_b the mean of its probability over the units.
template <class Balance, Index N, Index K, Backend B>
const typename B::Scalar* balance_slopes(Tape<B>& tape, const std::int32_t* chosen, Index units,
                                         double weight) {
  using T = typename B::Scalar;
  std::array<T, static_cast<std::size_t>(N)> slopes{};
  for (Index b = 0; b < N; ++b) {
    const double load = tape.backend().sum(
        units * K, [=] BRANCHLORA_BODY(Index i) { return chosen[i] == b ? 1.0 : 0.0; });
    slopes[static_cast<std::size_t>(b)] =
        static_cast<T>(static_cast<double>(tape.loss_scale()) * weight *
                       Balance::slope(load / static_cast<double>(units * K), static_cast<int>(N)) /
                       static_cast<double>(units));
  }
  return tape.upload(std::span<const T>(slopes));
}

}  // namespace branchlora::gate
