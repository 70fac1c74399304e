#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "rows.hpp"

namespace study {
namespace {

using namespace branchlora;

// Rank 32 in all: 8 branches of rank 4, of which 2 are chosen. One policy a rung.
using Moe = MoeLora<4, 8>;
using SharedTrunk = Moe::with<trunk::Shared>;
using Sparse = SharedTrunk::with<TopK<2>>;
using Freezing = Sparse::with<freezing::MostActive<2>>;
using Branch = BranchLora<4, 8, 2>;

}  // namespace

std::vector<Row> ladder() {
  return {
      zero_shot("Zero-shot"),
      stream<Lora<32>>("LoRA, same rank"),
      stream<Lora<36>>("LoRA, same size"),
      stream<Moe>("MoELoRA"),
      stream<SharedTrunk>("+ shared trunk"),
      stream<Sparse>("+ top-k"),
      stream<Freezing>("+ freezing"),
      stream<Branch>("BranchLoRA"),
      joint<Lora<32>>("Joint LoRA"),
  };
}

}  // namespace study
