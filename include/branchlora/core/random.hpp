/// @file
/// Random numbers that depend on their place alone: Philox-4x32-10 counters, from Random123
/// (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

// Philox is plain arithmetic. Without these Random123 includes every intrinsic of the processor,
// for generators that are not used here. A program that wants those includes them before this
// header.
#ifndef R123_USE_SSE
#define R123_USE_SSE 0
#endif
#ifndef R123_USE_AES_NI
#define R123_USE_AES_NI 0
#endif
#include <Random123/philox.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "branchlora/core/hash.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/matrix.hpp"

namespace branchlora {

/// A family of random numbers, one for each index. Number `i` of `Random{seed, stream}` is the same
/// on every machine, whatever was drawn before and on whichever thread.
class Random {
 public:
  /// `seed` is the run's; `stream` tells its uses apart (see `fork`).
  constexpr explicit Random(std::uint64_t seed, std::uint64_t stream = 0)
      : seed_(seed), stream_(stream) {}

  /// An independent family for the use numbered `id`.
  constexpr Random fork(std::uint64_t id) const {
    return Random(seed_, mix(stream_ + 0x9E3779B97F4A7C15ULL * (id + 1)));
  }

  /// An independent family for the use named `name` (FNV-1a of its bytes).
  constexpr Random fork(std::string_view name) const { return fork(hash(name)); }

  /// 32 random bits.
  BRANCHLORA_HD std::uint32_t bits(std::uint64_t i) const { return block(i / 4)[i % 4]; }

  /// Uniform in [0, 1).
  BRANCHLORA_HD double uniform(std::uint64_t i) const { return bits(i) * 0x1p-32; }

  /// Uniform in [low, high).
  double uniform(std::uint64_t i, double low, double high) const {
    return low + (high - low) * uniform(i);
  }

  /// Uniform integer in [0, n), n >= 1. Bias is below n / 2^32.
  Index below(std::uint64_t i, Index n) const {
    return static_cast<Index>((std::uint64_t{bits(i)} * static_cast<std::uint64_t>(n)) >> 32);
  }

  /// Standard normal (Box and Muller), two from each pair of draws.
  double normal(std::uint64_t i) const {
    const auto words = block(i / 2);
    const double u = (words[0] + 1.0) * 0x1p-32;
    const double v = words[1] * 0x1p-32;
    const double radius = std::sqrt(-2.0 * std::log(u));
    const double angle = 2.0 * std::numbers::pi * v;
    return i % 2 == 0 ? radius * std::cos(angle) : radius * std::sin(angle);
  }

  /// A random order of 0 .. n - 1 (Fisher and Yates).
  std::vector<Index> permutation(Index n) const {
    std::vector<Index> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), Index{0});
    for (Index i = n - 1; i > 0; --i) {
      std::swap(order[static_cast<std::size_t>(i)],
                order[static_cast<std::size_t>(below(static_cast<std::uint64_t>(i), i + 1))]);
    }
    return order;
  }

 private:
  static constexpr std::uint64_t mix(std::uint64_t x) {  // SplitMix64's finaliser
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
  }

  BRANCHLORA_HD std::array<std::uint32_t, 4> block(std::uint64_t counter) const {
    using Philox = r123::Philox4x32;
    const Philox::ctr_type ctr = {
        {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
         static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)}};
    const Philox::key_type key = {
        {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)}};
    const auto r = Philox{}(ctr, key);
    return {r[0], r[1], r[2], r[3]};
  }

  std::uint64_t seed_;
  std::uint64_t stream_;
};

}  // namespace branchlora
