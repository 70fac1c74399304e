/// @file
/// The numbers of a continual run, the same for every method that is compared.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "branchlora/adapter/hyper.hpp"
#include "branchlora/core/backend.hpp"

namespace branchlora::continual {

/// How tasks are learned. Nothing here changes code; results depend on these, the data and the
/// seed alone.
struct Options {
  std::uint64_t seed = 1;
  Index steps = 200;   ///< Of each task.
  Index batch = 16;    ///< Samples a step.
  double rate = 1e-3;  ///< Peak learning rate of the adapters.
  double projector_rate =
      0.1;  ///< Of the projector, as a share of `rate` (CoIN: 2e-5 / 2e-4); 0 freezes it.
  double warmup = 0.03;             ///< Share of a task's steps.
  double clip = 1.0;                ///< Largest norm of the gradient.
  double beta2 = 0.98;              ///< AdamW's second decay rate; short runs want it short.
  Hyper hyper{64.0, 0.0, 0.01};     ///< Of the adapters.
  Storage storage = Storage::full;  ///< How the frozen decoder's weights are held.
  bool recompute = false;       ///< Calculate activations again in the backward pass: less memory.
  bool full_matrix = false;     ///< Score tasks that lie further ahead than the next one too.
  Index observed = 256;         ///< Training samples that tell how active each branch is.
  Index start_samples = 256;    ///< Training samples that a start sees which asks for any.
  Index answer_tokens = 14;     ///< Longest answer that is generated.
  Index evaluation_batch = 64;  ///< Questions answered together.

  nlohmann::json to_json() const;
};

}  // namespace branchlora::continual

#ifndef BRANCHLORA_COMPILED
#include "branchlora/continual/options-inl.hpp"
#endif
