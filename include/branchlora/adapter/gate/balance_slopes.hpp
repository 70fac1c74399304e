/// @file
/// From the load of each branch to the gradient of a balance loss.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <span>

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/host_device.hpp"

namespace branchlora::gate {

/// The derivative of weight * sum over branches of `Balance`::slope(f_b) P_b by one unit's
/// probability of each of N branches, in backend memory: f_b is branch b's share of the choices,
/// `chosen`, units x K, and P_b the mean of its probability over the units. Where fewer than K
/// branches are allowed, others fill the choice; with the units' `weights`, units x N, which are
/// zero for those, they do not count.
template <class Balance, Index N, Index K, Backend B>
const typename B::Scalar* balance_slopes(Tape<B>& tape, const std::int32_t* chosen, Index units,
                                         double weight,
                                         MatrixView<const typename B::Scalar> weights = {}) {
  using T = typename B::Scalar;
  std::array<double, static_cast<std::size_t>(N)> loads{};
  for (Index b = 0; b < N; ++b) {
    loads[static_cast<std::size_t>(b)] =
        tape.backend().sum(units * K, [=] BRANCHLORA_BODY(Index i) {
          const bool counts = weights.data == nullptr || weights(i / K, b) != T(0);
          return chosen[i] == b && counts ? 1.0 : 0.0;
        });
  }
  const double choices = std::accumulate(loads.begin(), loads.end(), 0.0);
  std::array<T, static_cast<std::size_t>(N)> slopes{};
  std::ranges::transform(loads, slopes.begin(), [&](double load) {
    return static_cast<T>(static_cast<double>(tape.loss_scale()) * weight *
                          Balance::slope(load / choices, static_cast<int>(N)) /
                          static_cast<double>(units));
  });
  return tape.upload(std::span<const T>(slopes));
}

}  // namespace branchlora::gate
