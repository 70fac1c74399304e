/// @file
/// No loss, but biases that spread the load: one a branch, moved by how often it is chosen.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/gate_pass.hpp"

namespace branchlora::gate {

/// The biases of a `BiasedGating`, which V's `BiasBalance` moves if it is one.
template <Backend B, class V>
class BranchBias {
 public:
  using T = typename B::Scalar;

  /// One for each branch.
  const std::vector<T>& values() const { return values_; }

  const T* upload(Tape<B>& tape) const { return tape.upload(std::span<const T>(values_)); }

  /// Moves the biases by `rate`, given the gates of a batch: V::Balance::step says which way.
  void shift(Tape<B>& tape, MatrixView<const T> weights, double rate) {
    T* counts = tape.template array<T>(V::capacity);
    tape.backend().reduce_columns(
        weights.rows, V::capacity,
        [=] BRANCHLORA_BODY(Index i, Index b) { return weights(i, b) != T(0) ? T(1) : T(0); },
        counts, false);
    std::array<T, static_cast<std::size_t>(V::capacity)> host{};
    tape.backend().download(host.data(), counts, sizeof(host));
    const double mean =
        std::accumulate(host.begin(), host.end(), 0.0) / static_cast<double>(V::capacity);
    for (std::size_t b = 0; b < values_.size(); ++b) {
      values_[b] += static_cast<T>(rate * V::Balance::step(static_cast<double>(host[b]), mean));
    }
  }

  /// Appends the bits of a double for each bias.
  void save(std::vector<std::uint64_t>& state) const {
    for (const T b : values_) {
      state.push_back(std::bit_cast<std::uint64_t>(static_cast<double>(b)));
    }
  }

  /// Takes them back from the end of `state`, and returns what stands before. Throws `Error` that
  /// names the layer if there are too few.
  std::span<const std::uint64_t> restore(std::span<const std::uint64_t> state,
                                         const std::string& name) {
    expect(state.size() >= values_.size(), "{}: the saved state has {} numbers for {} biases", name,
           state.size(), values_.size());
    const auto bits = state.last(values_.size());
    for (std::size_t i = 0; i < bits.size(); ++i) {
      values_[i] = static_cast<T>(std::bit_cast<double>(bits[i]));
    }
    return state.first(state.size() - values_.size());
  }

 private:
  std::vector<T> values_ = std::vector<T>(static_cast<std::size_t>(V::capacity), T(0));
};

}  // namespace branchlora::gate
