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
  const auto sums = tape.scratch(1, N);
  tape.backend().reduce_columns(
      units * K, N,
      [=] BRANCHLORA_BODY(Index i, Index b) {
        const bool counted = weights.data == nullptr || weights(i / K, b) != T(0);
        return chosen[i] == b && counted ? T(1) : T(0);
      },
      sums.data, false);
  std::array<T, static_cast<std::size_t>(N)> loads;
  tape.backend().download(loads.data(), sums.data, sizeof(loads));
  const double choices = std::accumulate(loads.begin(), loads.end(), 0.0);
  std::array<T, static_cast<std::size_t>(N)> slopes{};
  std::ranges::transform(loads, slopes.begin(), [&](T load) {
    return static_cast<T>(static_cast<double>(tape.loss_scale()) * weight *
                          Balance::slope(static_cast<double>(load) / choices, static_cast<int>(N)) /
                          static_cast<double>(units));
  });
  return tape.upload(std::span<const T>(slopes));
}

}  // namespace branchlora::gate
