/// @file
/// Greedy generation with a key-value cache.
#pragma once

#include <algorithm>
#include <vector>

#include "branchlora/core/error.hpp"
#include "branchlora/model/multimodal.hpp"

namespace branchlora::model {

/// The most likely continuation of each prompt of `batch` (examples without answers), token by
/// token, until `end` or `most` tokens. `end` itself is left out.
///
/// `features` are those of the batch's images and `tasks` picks routers; `task_weights` mixes the
/// branches of tasks (`RoutingContext`). The tape is reset.
template <Backend B>
std::vector<std::vector<std::int32_t>> generate(Multimodal<B>& model, Tape<B>& tape,
                                                const Batch& batch, const FeatureBank<B>& bank,
                                                std::span<const std::int32_t> tasks,
                                                std::int32_t end, Index most,
                                                std::span<const double> task_weights = {}) {
  using T = typename B::Scalar;
  B& backend = tape.backend();
  const bool recording = tape.recording();
  tape.set_recording(false);
  tape.reset();
  const DecoderConfig& config = model.config().decoder;
  const Index count = batch.sequences.count();
  const Index longest = batch.longest();
  expect(longest + most - 1 <= config.length,
         "model: a prompt of {} tokens leaves no room for an answer of {} within {}", longest, most,
         config.length);
  KvCache<B> cache(backend, config.layers, config.kv_heads * config.head_size(), batch.sequences,
                   most);
  RoutingContext routing{.sequences = &batch.sequences,
                         .tasks = tasks,
                         .memory = RoutingContext::Memory::remember,
                         .task_weights = task_weights};
  std::vector<std::vector<std::int32_t>> answers(static_cast<std::size_t>(count));
  std::vector<std::int32_t> next(static_cast<std::size_t>(count));
  std::vector<char> done(static_cast<std::size_t>(count), 0);
  std::vector<T> host;

  // Takes the best token of every row; true while any sequence goes on.
  const auto take = [&](Var<T> logits) {
    host.resize(static_cast<std::size_t>(logits.value().size()));
    backend.download(host.data(), logits.value().data, host.size() * sizeof(T));
    bool going = false;
    for (std::size_t s = 0; s < next.size(); ++s) {
      const T* row = host.data() + static_cast<Index>(s) * logits.cols();
      next[s] = static_cast<std::int32_t>(std::max_element(row, row + logits.cols()) - row);
      if (next[s] == end) done[s] = 1;
      if (done[s] == 0) answers[s].push_back(next[s]);
      going = going || done[s] == 0;
    }
    return going;
  };

  bool going = take(model.logits(tape, batch, model.gather(tape, batch, bank), routing, &cache));
  Sequences single;
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::vector<std::int32_t> positions(static_cast<std::size_t>(count));
  for (std::size_t s = 0; s < rows.size(); ++s) {
    single.push(1);
    rows[s] = static_cast<std::int32_t>(s);
    positions[s] =
        static_cast<std::int32_t>(batch.sequences.offsets[s + 1] - batch.sequences.offsets[s]) - 1;
  }
  routing.sequences = &single;
  routing.memory = RoutingContext::Memory::reuse;
  for (Index step = 1; going && step < most; ++step) {
    tape.reset();
    for (auto& p : positions) ++p;
    const Var<T> x = model.decoder().embed(tape, next);
    const std::int32_t* where = tape.upload(std::span<const std::int32_t>(positions));
    const Var<T> out = model.decoder()(tape, x, {&single, where, &routing, &cache, true});
    going = take(model.decoder().logits(tape, out, rows));
  }
  tape.reset();
  tape.set_recording(recording);
  return answers;
}

}  // namespace branchlora::model
