/// @file
/// The contrastive loss of task embeddings and first tokens.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "branchlora/adapter/gate/gate_pass.hpp"
#include "branchlora/adapter/gate/routers.hpp"
#include "branchlora/core/math.hpp"

namespace branchlora::gate {

/// What the backward pass of the contrastive loss needs, for each sequence s and task k.
template <class T>
struct ContrastPass {
  MatrixView<const T> x;                 ///< The layer's input; h_s is the first row of s.
  MatrixView<T> cosines;                 ///< cos(h_s, e_k).
  MatrixView<T> h_norms, e_norms;        ///< |h_s| and |e_k|.
  MatrixView<T> pull;                    ///< The loss' derivative by the cosine.
  MatrixView<T> probabilities;           ///< Of task k for sequence s.
  const T* const* embeddings = nullptr;  ///< Of each task; null: there is no such loss.
  const Index* offsets = nullptr;        ///< The rows at which sequences begin.
  const std::int32_t* tasks = nullptr;   ///< Of each sequence.
};

/// weight * mean over sequences of CE(cos(h_s, e_k) / 0.05 over the tasks k begun so far, task of
/// s), with h the first token of the layer's input. See `router::ContrastiveEmbedding`.
template <Backend B>
struct ContrastLoss {
  using T = typename B::Scalar;
  using Pass = ContrastPass<T>;
  static constexpr double temperature = 0.05;

  /// The derivative by each cosine.
  template <class Gates>
  static Pass forward(Tape<B>& tape, MatrixView<const T> x, const Gates& g,
                      const Routers<B>& routers, double weight) {
    auto& backend = tape.backend();
    const Index units = g.sequences->count();
    const Index count = routers.count();
    thread_local std::vector<const T*> embeddings;
    embeddings.clear();
    for (const auto& router : routers) embeddings.push_back(router.weight->value.data);
    Pass p;
    p.x = x;
    p.embeddings = tape.upload(std::span<const T* const>(embeddings));
    p.offsets = g.offsets;
    p.tasks = tape.upload(g.tasks);
    for (MatrixView<T>* m : {&p.cosines, &p.h_norms, &p.e_norms, &p.pull, &p.probabilities}) {
      *m = tape.scratch(units, count);
    }
    backend.for_rows(units * count, [=] BRANCHLORA_BODY(auto team, Index i) {
      const Index s = i / count;
      const Index k = i % count;
      const T* h = p.x.row(p.offsets[s]);
      const T* e = p.embeddings[k];
      const Index width = p.x.cols;
      const T hh = team.sum(width, [=](Index c) { return h[c] * h[c]; });
      const T ee = team.sum(width, [=](Index c) { return e[c] * e[c]; });
      const T he = team.sum(width, [=](Index c) { return h[c] * e[c]; });
      p.h_norms(s, k) = std::sqrt(hh);
      p.e_norms(s, k) = std::sqrt(ee);
      p.cosines(s, k) = he / (std::sqrt(hh) * std::sqrt(ee));
    });
    const T cold = static_cast<T>(temperature);
    const T scale = static_cast<T>(weight / temperature) / static_cast<T>(units);
    backend.for_each(units, [=] BRANCHLORA_BODY(Index s) {
      T highest = p.cosines(s, 0);
      for (Index k = 1; k < count; ++k) {
        highest = p.cosines(s, k) > highest ? p.cosines(s, k) : highest;
      }
      T sum = 0;
      for (Index k = 0; k < count; ++k) {
        p.probabilities(s, k) = math::exp((p.cosines(s, k) - highest) / cold);
        sum += p.probabilities(s, k);
      }
      for (Index k = 0; k < count; ++k) {
        p.probabilities(s, k) /= sum;
        p.pull(s, k) = scale * (p.probabilities(s, k) - (p.tasks[s] == k ? T(1) : T(0)));
      }
    });
    return p;
  }

  /// The value of the loss.
  static double value(Tape<B>& tape, const Pass& p, double weight) {
    const double sum = tape.backend().sum(p.pull.rows, [=] BRANCHLORA_BODY(Index s) {
      return -std::log(static_cast<double>(p.probabilities(s, p.tasks[s])));
    });
    return weight * sum / static_cast<double>(p.pull.rows);
  }

  /// Adds the gradient of the embeddings that train.
  static void backward(Tape<B>& tape, const Pass& p, const Routers<B>& routers) {
    for (Index k = 0; k < routers.count(); ++k) {
      Parameter<T>& e = *routers.of(k).weight;
      if (!e.trainable) continue;
      const auto de = e.sink();
      tape.backend().reduce_columns(
          p.pull.rows, e.value.cols,
          [=, scale = tape.loss_scale()] BRANCHLORA_BODY(Index s, Index c) {
            const T h = p.x(p.offsets[s], c) / p.h_norms(s, k);
            const T unit = p.embeddings[k][c] / p.e_norms(s, k);
            return scale * p.pull(s, k) * (h - p.cosines(s, k) * unit) / p.e_norms(s, k);
          },
          de.view.data, de.add);
    }
  }

  /// Adds to the gradient of x, which must have been written.
  static void to_x(Tape<B>& tape, const Pass& p, Var<T> x) {
    const auto dx = tape.gradient(x).view;
    tape.backend().for_rows(p.pull.rows,
                            [=, scale = tape.loss_scale()] BRANCHLORA_BODY(auto team, Index s) {
                              const T* h = p.x.row(p.offsets[s]);
                              T* to = dx.row(p.offsets[s]);
                              team.loop(p.x.cols, [=](Index c) {
                                T sum = 0;
                                for (Index k = 0; k < p.pull.cols; ++k) {
                                  sum += p.pull(s, k) * (p.embeddings[k][c] / p.e_norms(s, k) -
                                                         p.cosines(s, k) * h[c] / p.h_norms(s, k));
                                }
                                to[c] += scale * sum / p.h_norms(s, 0);
                              });
                            });
  }
};

}  // namespace branchlora::gate
