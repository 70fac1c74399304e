/// @file
/// The loss of how unequal the gates of the branches are in each sample.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/hyper.hpp"

namespace branchlora::gate {

/// balance_weight * var(Z) / mean(Z)^2, with Z as `balance::Localised` says and the importances of
/// V's balance. Every token is a unit.
template <Backend B, class V>
struct LocalisedLoss {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  static constexpr Index branches = V::capacity;

  /// Z of each sample and branch, its importance, the mean and the variance of Z.
  struct Spread {
    MatrixView<T> z;
    const T* importance;
    double mean, variance;
  };

  static Spread spread(Tape<B>& tape, const Pass& g, const Hyper& hyper) {
    const Index samples = g.sequences->count();
    thread_local std::vector<T> host;
    host.clear();
    for (Index s = 0; s < samples; ++s) {
      const auto task = static_cast<std::uint64_t>(g.tasks[static_cast<std::size_t>(s)]);
      const int type = static_cast<int>(hyper.task_types >> task % 64 & 1U);
      for (int b = 0; b < branches; ++b) {
        host.push_back(static_cast<T>(
            V::Balance::importance(b, static_cast<int>(branches), type, hyper.balance_delta)));
      }
    }
    Spread found{tape.scratch(samples, branches), tape.upload(std::span<const T>(host)), 0, 0};
    auto& backend = tape.backend();
    backend.for_each(found.z.size(), SumOfSample{g, found});
    const auto n = static_cast<double>(found.z.size());
    const T* z = found.z.data;
    found.mean = backend.sum(found.z.size(), [=] BRANCHLORA_BODY(Index i) {
      return static_cast<double>(z[i]);
    }) / n;
    found.variance = backend.sum(found.z.size(), [=, mean = found.mean] BRANCHLORA_BODY(Index i) {
      return (static_cast<double>(z[i]) - mean) * (static_cast<double>(z[i]) - mean);
    }) / n;
    return found;
  }

  /// dweights += its gradient, times the scale of the pass.
  static void add_gradient(Tape<B>& tape, const Pass& g, const Hyper& hyper,
                           MatrixView<T> dweights) {
    const Spread s = spread(tape, g, hyper);
    const auto n = static_cast<double>(s.z.size());
    // d(var / mean^2) / dZ = 2 (Z - mean - var / mean) / (n mean^2)
    const T slope =
        tape.loss_scale() * static_cast<T>(2 * hyper.balance_weight / (n * s.mean * s.mean));
    const T middle = static_cast<T>(s.mean + s.variance / s.mean);
    const std::int32_t* sample_of = units_of_tokens(tape, *g.sequences);
    tape.backend().for_each(dweights.rows, Slope{s, dweights, sample_of, slope, middle});
  }

  /// Its value.
  static double value(Tape<B>& tape, const Pass& g, const Hyper& hyper) {
    const Spread s = spread(tape, g, hyper);
    return hyper.balance_weight * s.variance / (s.mean * s.mean);
  }

  /// Z of a sample and branch, `i` of all.
  struct SumOfSample {
    Pass g;
    Spread to;

    BRANCHLORA_HD void operator()(Index i) const {
      T sum = 0;
      for (Index t = g.offsets[i / branches]; t < g.offsets[i / branches + 1]; ++t) {
        sum += g.weights(t, i % branches);
      }
      to.z.data[i] = to.importance[i] * sum;
    }
  };

  /// Adds to the gradient of the gates of token t.
  struct Slope {
    Spread s;
    MatrixView<T> dweights;
    const std::int32_t* sample_of;
    T slope, middle;

    BRANCHLORA_HD void operator()(Index t) const {
      for (Index b = 0; b < branches; ++b) {
        const Index i = sample_of[t] * branches + b;
        dweights(t, b) += slope * s.importance[i] * (s.z.data[i] - middle);
      }
    }
  };
};

}  // namespace branchlora::gate
