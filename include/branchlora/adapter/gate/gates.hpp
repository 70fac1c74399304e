/// @file
/// The gates of a batch, and what all gates of sequences need.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "branchlora/adapter/routing.hpp"
#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/host_device.hpp"

namespace branchlora {

/// The gates of a batch, one row a unit: a token, or a sequence. A token chooses `K` branches.
template <class T, Index K>
struct Gates {
  MatrixView<T> inputs;                   ///< What the router read: units x d_in.
  MatrixView<T> logits, saved, weights;   ///< Units x branches.
  std::int32_t* chosen = nullptr;         ///< Tokens x K.
  const std::int32_t* unit_of = nullptr;  ///< The unit of each token; null: itself.
  const Sequences* sequences = nullptr;
  std::span<const std::int32_t> tasks;
  /// The task of each unit, where supervision asks for it; null: it does not.
  const std::int32_t* labels = nullptr;
  bool task_known = false;  ///< Whether the labels are the choice.

  BRANCHLORA_HD Index unit(Index token) const {
    return unit_of == nullptr ? token : Index{unit_of[token]};
  }
  BRANCHLORA_HD const std::int32_t* chosen_of(Index token) const { return chosen + token * K; }
};

namespace gate {

/// The sequence of each token, in backend memory.
template <Backend B>
std::int32_t* units_of_tokens(Tape<B>& tape, const Sequences& sequences) {
  auto* unit_of = tape.template array<std::int32_t>(sequences.tokens());
  thread_local std::vector<std::int32_t> host;
  host.clear();
  for (Index s = 0; s < sequences.count(); ++s) {
    host.resize(static_cast<std::size_t>(sequences.offsets[static_cast<std::size_t>(s) + 1]),
                static_cast<std::int32_t>(s));
  }
  tape.backend().upload(unit_of, host.data(), host.size() * sizeof(std::int32_t));
  return unit_of;
}

/// Gives every token the choice of its sequence: `unit_chosen`, sequences x K.
template <Backend B, class T, Index K>
void spread(B& backend, Index tokens, const std::int32_t* unit_chosen, const Gates<T, K>& g) {
  backend.for_each(tokens, [=] BRANCHLORA_BODY(Index t) {
    for (Index k = 0; k < K; ++k) g.chosen[t * K + k] = unit_chosen[g.unit(t) * K + k];
  });
}

/// From the gradient of every token's gates to that of its sequence's, sequences x branches, and
/// the choice of each sequence, sequences x K.
template <Backend B, class T, Index K>
std::pair<MatrixView<T>, std::int32_t*> gather(Tape<B>& tape, const Gates<T, K>& g,
                                               MatrixView<T> dgates) {
  const Index units = g.weights.rows;
  const auto dweights = tape.scratch(units, dgates.cols);
  auto* unit_chosen = tape.template array<std::int32_t>(units * K);
  const Index* offsets = tape.upload(std::span<const Index>(g.sequences->offsets));
  tape.backend().for_each(units, [=] BRANCHLORA_BODY(Index s) {
    for (Index b = 0; b < dgates.cols; ++b) {
      T sum = 0;
      for (Index t = offsets[s]; t < offsets[s + 1]; ++t) sum += dgates(t, b);
      dweights(s, b) = sum;
    }
    for (Index k = 0; k < K; ++k) unit_chosen[s * K + k] = g.chosen[offsets[s] * K + k];
  });
  return {dweights, unit_chosen};
}

/// The gates of sequences, kept for the decoding steps that follow.
template <Backend B, Index K>
class Memory {
 public:
  using T = typename B::Scalar;

  /// Keeps the gates of each sequence.
  void remember(B& backend, const std::int32_t* unit_chosen, const Gates<T, K>& g) {
    weights_.resize(static_cast<std::size_t>(g.weights.size()));
    chosen_.resize(static_cast<std::size_t>(g.weights.rows * K));
    backend.download(weights_.data(), g.weights.data, weights_.size() * sizeof(T));
    backend.download(chosen_.data(), unit_chosen, chosen_.size() * sizeof(std::int32_t));
  }

  /// The kept gates, for one more token of each of `tokens` sequences. Throws `Error` if those of
  /// another number of sequences were kept, or if the tape is recording.
  Gates<T, K> recall(Tape<B>& tape, Index tokens, Index branches, const std::string& name,
                     Gates<T, K> g) const {
    expect(!tape.recording(), "{}: gates that were kept can not be trained", name);
    expect(std::ssize(chosen_) == tokens * K,
           "{}: decoding {} sequences, but the gates of {} were kept", name, tokens,
           std::ssize(chosen_) / K);
    g.weights = tape.scratch(tokens, branches);
    tape.backend().upload(g.weights.data, weights_.data(), weights_.size() * sizeof(T));
    tape.backend().upload(g.chosen, chosen_.data(), chosen_.size() * sizeof(std::int32_t));
    return g;
  }

 private:
  std::vector<T> weights_;
  std::vector<std::int32_t> chosen_;
};

}  // namespace gate
}  // namespace branchlora
