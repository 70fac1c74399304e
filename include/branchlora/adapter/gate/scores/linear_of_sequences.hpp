/// @file
/// Linear scores of sequences: a team of threads a sequence.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/routers.hpp"
#include "branchlora/adapter/gate/sequence_mean.hpp"

namespace branchlora::gate {

/// The router of a sequence, in backend memory.
template <class T>
struct RouterOfSequence {
  const T* weight;
  BranchSet allowed;
  const T* bias;  ///< Of its last scores, or null.
};

/// The router of each sequence of a batch.
template <Backend B, class Pass, class T = typename B::Scalar>
const RouterOfSequence<T>* routers_of_sequences(Tape<B>& tape, const Routers<B>& routers,
                                                const Pass& g) {
  thread_local std::vector<RouterOfSequence<T>> host;
  host.clear();
  routers.for_runs(*g.sequences, g.tasks, [&](const auto& router, Index, Index count) {
    host.insert(host.end(), static_cast<std::size_t>(count),
                RouterOfSequence<T>{router.weight->value.data, router.allowed, router.bias_data()});
  });
  return tape.upload(std::span<const RouterOfSequence<T>>(host));
}

/// Both passes of scores = R h for sequences, with h what V's granularity makes of a sequence.
template <Backend B, class V>
struct LinearOfSequences {
  using T = typename B::Scalar;
  using Pass = GatePass<T, V::top_k>;
  using Router = typename Routers<B>::Router;
  using Granularity = typename V::Granularity;
  static constexpr Index rows = V::gate_rows;

  /// Reads sequence s and scores it, the work of one team.
  struct Score {
    MatrixView<const T> x;
    Pass g;
    const RouterOfSequence<T>* routers;

    template <class Team>
    BRANCHLORA_BODY void operator()(const Team& team, Index s) const {
      T* input = g.inputs.row(s);
      sequence_mean<Granularity>(team, x.middle_rows(g.offsets[s], g.offsets[s + 1] - g.offsets[s]),
                                 input);
      if (g.silent) return;
      for (Index b = 0; b < rows; ++b) {
        const T* row = routers[s].weight + b * x.cols;
        const T score = team.sum(x.cols, [=](Index c) { return input[c] * row[c]; });
        team.loop(1, [=, this](Index) { g.logits(s, b) = score; });
      }
    }
  };

  /// A router that trains.
  struct Target {
    const T* weight;
    T* grad;
    bool add;
  };

  /// The routers of a batch that train, each once, in host memory. Their gradients are to be
  /// written by the caller.
  static std::span<const Target> targets(const Routers<B>& routers, const Pass& g) {
    thread_local std::vector<Target> host;
    host.clear();
    routers.for_runs(*g.sequences, g.tasks, [&](const Router& router, Index, Index) {
      Parameter<T>& w = *router.weight;
      const auto same = [&](const Target& t) { return t.weight == w.value.data; };
      if (!w.trainable || std::any_of(host.begin(), host.end(), same)) return;
      const auto dr = w.sink();
      host.push_back({w.value.data, dr.view.data, dr.add});
    });
    return host;
  }

  /// dh = dlogits R, whose share each token that h is the mean of gets; dR += dlogits^T h: a team
  /// for each sequence, and for each row of an R that trains.
  static void backward(Tape<B>& tape, const Routers<B>& all, const Pass& g, Var<T> x,
                       MatrixView<const T> dlogits) {
    const auto trained = targets(all, g);
    const Target* targets_at = tape.upload(trained);
    const RouterOfSequence<T>* routers = routers_of_sequences(tape, all, g);
    const Index units = dlogits.rows;
    MatrixView<T> dx;
    MatrixView<T> dinputs;
    if (x.needs_grad()) {
      const auto sink = tape.gradient(x);
      if (!sink.add) tape.backend().fill(sink.view, T(0));
      dx = sink.view;
      dinputs = tape.scratch(units, x.cols());
    }
    const Index to_x = dinputs.rows;
    tape.backend().for_rows(
        to_x + std::ssize(trained) * rows, [=] BRANCHLORA_BODY(auto team, Index i) {
          const Index width = g.inputs.cols;
          if (i < to_x) {
            T* from = dinputs.row(i);
            const T* slopes = dlogits.row(i);
            const T* weight = routers[i].weight;
            team.loop(width, [=](Index c) {
              T sum = 0;
              for (Index b = 0; b < rows; ++b) sum += slopes[b] * weight[b * width + c];
              from[c] = sum;
            });
            add_sequence_mean_gradient<Granularity>(
                team, from, dx.middle_rows(g.offsets[i], g.offsets[i + 1] - g.offsets[i]));
          } else {
            const Target target = targets_at[(i - to_x) / rows];
            const Index b = (i - to_x) % rows;
            T* to = target.grad + b * width;
            if (!target.add) team.loop(width, [=](Index c) { to[c] = T(0); });
            for (Index s = 0; s < units; ++s) {
              if (routers[s].weight != target.weight) continue;
              const T* input = g.inputs.row(s);
              const T slope = dlogits(s, b);
              team.loop(width, [=](Index c) { to[c] += slope * input[c]; });
            }
          }
        });
  }
};

}  // namespace branchlora::gate
