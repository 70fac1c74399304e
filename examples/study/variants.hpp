/// The rungs of BranchLoRA's ablation ladder. `ablation` trains them, `evaluate` finds the one of a
/// checkpoint among them.
#pragma once

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "study.hpp"

namespace study {

// Rank 32 in all: 8 branches of rank 4, of which 2 are chosen.
using Moe = branchlora::MoeLora<4, 8>;
using SharedTrunk = Moe::with<branchlora::trunk::Shared>;
using Sparse = SharedTrunk::with<branchlora::TopK<2>>;
using Freezing = Sparse::with<branchlora::freezing::MostActive<2>>;
using Branch = branchlora::BranchLora<4, 8, 2>;

/// From no training to all tasks at once. To try a variant of your own, add a line and rebuild.
inline std::vector<Row> ladder() {
  return {
      zero_shot("Zero-shot"),
      stream<branchlora::Lora<32>>("LoRA, same rank"),
      stream<branchlora::Lora<36>>("LoRA, same size"),
      stream<Moe>("MoELoRA"),
      stream<SharedTrunk>("+ shared trunk"),
      stream<Sparse>("+ top-k"),
      stream<Freezing>("+ freezing"),
      stream<Branch>("BranchLoRA"),
      joint<branchlora::Lora<32>>("Joint LoRA"),
  };
}

}  // namespace study
