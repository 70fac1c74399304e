/// @file
/// What a batch tells the adapters about its sequences.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "branchlora/adapter/auxiliary_losses.hpp"
#include "branchlora/core/error.hpp"
#include "branchlora/core/random.hpp"
#include "branchlora/core/sequences.hpp"

namespace branchlora {

/// How a batch of sequences is to be routed. Everything referred to must outlive the step.
struct RoutingContext {
  /// What to do with the gates that were chosen once for a whole sequence.
  enum class Memory : std::uint8_t {
    none,      ///< Choose, and forget after the step.
    remember,  ///< Choose, and keep for later decoding steps of the same sequences.
    reuse,     ///< Every row is one more token of its sequence: use what was kept.
  };

  const Sequences* sequences = nullptr;
  /// The task of each sequence, which picks its router where routers are per task.
  std::span<const std::int32_t> tasks;
  Memory memory = Memory::none;
  /// Adds this batch to the statistics of how active each branch is.
  bool observe = false;
  /// Draws dropout; null in evaluation.
  const Random* dropout = nullptr;
  /// Whether this is a training batch whose tasks are known: adapters may route by them and add
  /// losses of their routing.
  bool supervise = false;
  /// Where the values of auxiliary losses are added up; null: they are not computed. Their
  /// gradients do not depend on it.
  AuxiliaryLosses* losses = nullptr;
  /// What each task weighs in each sequence, a row a sequence, where the branches of several tasks
  /// are mixed; empty: all of it is that of the sequence's task.
  std::span<const double> task_weights{};
};

/// Throws `Error` that names the layer unless `context` has sequences of `tokens` tokens in all, of
/// which none is empty.
inline void expect_sequences(const RoutingContext& context, Index tokens, const std::string& name) {
  expect(context.sequences != nullptr, "{}: a routed adapter needs to know the sequences", name);
  const Sequences& sequences = *context.sequences;
  expect(sequences.tokens() == tokens, "{}: sequences of {} tokens, found {}", name,
         sequences.tokens(), tokens);
  for (std::size_t s = 1; s < sequences.offsets.size(); ++s) {
    expect(sequences.offsets[s] > sequences.offsets[s - 1],
           "{}: sequence {} of {} is empty: expected at least one token", name, s - 1,
           sequences.count());
  }
}

}  // namespace branchlora
