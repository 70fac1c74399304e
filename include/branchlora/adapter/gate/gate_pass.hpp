/// @file
/// The gates of one batch: what their forward pass makes and their backward pass needs.
#pragma once

#include <cstdint>
#include <span>

#include "branchlora/autograd/tape.hpp"
#include "branchlora/core/host_device.hpp"
#include "branchlora/core/sequences.hpp"

namespace branchlora {

/// The gates of a batch, one row a unit: a token, or a sequence. A token chooses `K` branches.
/// Pointers are of backend memory.
template <class T, Index K>
struct GatePass {
  MatrixView<T> inputs;                   ///< What the scores were made of: units x width.
  MatrixView<T> logits;                   ///< Scores / temperature: units x the router's rows.
  MatrixView<T> saved, weights;           ///< What the gating keeps for itself, and the gates.
  std::int32_t* chosen = nullptr;         ///< The branches that each token chose: tokens x K.
  std::int32_t* unit_chosen = nullptr;    ///< The same of units: units x K.
  const std::int32_t* unit_of = nullptr;  ///< The unit of each token; null: itself.
  const Index* offsets = nullptr;         ///< The rows at which sequences begin; null: no need.
  const T* bias = nullptr;                ///< Of each branch, where the gating has one.
  const std::int32_t* labels = nullptr;   ///< The task of each unit, where a loss asks for it.
  const Sequences* sequences = nullptr;   ///< In host memory, as are `tasks`.
  std::span<const std::int32_t> tasks;    ///< Of each sequence.
  bool task_known = false;                ///< Whether the labels are the choice.
  bool silent = false;                    ///< Whether the scores are of no use, and not made.
  bool kept = false;                      ///< Whether these are gates of an earlier batch.

  BRANCHLORA_HD Index unit(Index token) const {
    return unit_of == nullptr ? token : Index{unit_of[token]};
  }
  BRANCHLORA_HD const std::int32_t* chosen_of(Index token) const { return chosen + token * K; }
};

/// The gradients of the gates of a batch.
template <class T>
struct GateGradients {
  MatrixView<T> gates;         ///< Of each token's gates, its chosen entries: tokens x branches.
  MatrixView<T> logits;        ///< Of each unit's logits: units x the router's rows.
  MatrixView<const T> router;  ///< If x's gradient still lacks logits * router: the router.
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

/// The rows at which sequences begin, in backend memory.
template <Backend B>
const Index* offsets_of(Tape<B>& tape, const Sequences& sequences) {
  return tape.upload(std::span<const Index>(sequences.offsets));
}

}  // namespace gate
}  // namespace branchlora
