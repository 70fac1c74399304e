/// @file
/// A bank of LoRAs of which each goes on from the one that is most like its task.
#pragma once

#include "branchlora/adapter/variant/lora_bank.hpp"

namespace branchlora {

/// `LoraBank` whose branches have a warm start: A_t and B_t take the values of A_s and B_s, s being
/// the earlier task for which the selector takes most of task t's training samples
/// (`branch_start::Nearest`). Branch s is frozen and not touched, so nothing is forgotten; what task
/// t shares with it need not be learned again. Parameters, steps and inference are the bank's.
///
/// This library's own, from its measurements of banks (docs/results/README.md). Starting a task's
/// adapter at an earlier one's is common where there is one adapter (sequential fine-tuning).
template <int R, int N, class Trunk = trunk::Separate>
using WarmBank =
    typename LoraBank<R, N, Trunk>::template with<branch_start::Nearest, selector::Ridge>;

}  // namespace branchlora
