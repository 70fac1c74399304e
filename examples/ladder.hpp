/// The rows of the ablation: from plain LoRA to BranchLoRA, one policy a rung, and banks. To try
/// a variant of your own, add a line; `ablation` trains it and `evaluate` knows its checkpoints.
#pragma once

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/warm_bank.hpp"
#include "rows.hpp"

namespace ladder {

using namespace branchlora;

// Rank 32 in all: 8 branches of rank 4, of which 2 are chosen.
using Moe = MoeLora<4, 8>;
using SharedTrunk = Moe::with<trunk::Shared>;
using Sparse = SharedTrunk::with<TopK<2>>;
using Freezing = Sparse::with<freezing::MostActive<2>>;
using Branch = BranchLora<4, 8, 2>::with<study::Selectors>;
using Bank = LoraBank<4, 8>::with<study::Selectors>;
using Warm = WarmBank<4, 8>::with<study::Selectors>;

inline std::vector<study::Row> rows() {
  return {
      study::zero_shot("Zero-shot"),
      study::stream<Lora<32>>("LoRA, same rank"),
      study::stream<Lora<36>>("LoRA, same size"),
      study::stream<Moe>("MoELoRA"),
      study::stream<SharedTrunk>("+ shared trunk"),
      study::stream<Sparse>("+ top-k"),
      study::stream<Freezing>("+ freezing"),
      study::stream<Branch>("BranchLoRA"),
      study::stream<Bank>("LoRA bank"),
      study::stream<Warm>("+ warm start"),
      study::joint<Lora<32>>("Joint LoRA"),
  };
}

}  // namespace ladder
