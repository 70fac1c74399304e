/// @file
/// The gates of sequences, kept for the decoding steps that follow.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "branchlora/adapter/gate/gate_pass.hpp"

namespace branchlora {

/// Keeps the gates of the sequences of one batch, K branches chosen by each.
template <Backend B, Index K>
class GateMemory {
 public:
  using T = typename B::Scalar;

  /// Keeps the gates of each sequence.
  void remember(B& backend, const GatePass<T, K>& g) {
    weights_.resize(static_cast<std::size_t>(g.weights.size()));
    chosen_.resize(static_cast<std::size_t>(g.weights.rows * K));
    backend.download(weights_.data(), g.weights.data, weights_.size() * sizeof(T));
    backend.download(chosen_.data(), g.unit_chosen, chosen_.size() * sizeof(std::int32_t));
  }

  /// Puts the kept gates into `g`, for one more token of each of `tokens` sequences. Throws `Error`
  /// that names the layer if those of another number of sequences were kept, or if the tape is
  /// recording.
  void recall(Tape<B>& tape, Index tokens, Index branches, const std::string& name,
              GatePass<T, K>& g) const {
    expect(!tape.recording(), "{}: gates that were kept can not be trained", name);
    expect(std::ssize(chosen_) == tokens * K,
           "{}: decoding {} sequences, but the gates of {} were kept", name, tokens,
           std::ssize(chosen_) / K);
    g.weights = tape.scratch(tokens, branches);
    g.kept = true;
    tape.backend().upload(g.weights.data, weights_.data(), weights_.size() * sizeof(T));
    tape.backend().upload(g.chosen, chosen_.data(), chosen_.size() * sizeof(std::int32_t));
  }

 private:
  std::vector<T> weights_;
  std::vector<std::int32_t> chosen_;
};

}  // namespace branchlora
