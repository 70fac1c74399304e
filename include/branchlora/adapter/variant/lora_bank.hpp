/// @file
/// A bank of LoRAs, one a task: the simplest method that forgets nothing.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) B_t A_t x for a sequence of task t: each task trains a LoRA of its own,
/// which is frozen when the task ends, and a selector finds the task at inference. N tasks at most.
/// A_t starts uniform in +-1/sqrt(d_in), B_t at zero.
///
/// With `trunk::Shared` tasks share one A, which goes on training: half the parameters, and a drift
/// under the branches that are frozen.
///
/// `with<TopK<N>, selector::SoftmaxKeys<>>` mixes the branches of all tasks at inference, as a
/// selector weighs them, and `with<TopK<N>, selector::Uniform>` takes their mean.
///
/// Tables of continual learning often leave it out. Where its router finds the task, no other method
/// of the family comes before it (docs/results/README.md).
template <int R, int N, class Trunk = trunk::Separate>
using LoraBank =
    Adapter<Rank<R>, Branches<N>, TopK<1>, Trunk, router::OwnBranch, freezing::OwnBranch>;

}  // namespace branchlora
