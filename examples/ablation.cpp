/// The ablation ladder of BranchLoRA on MiniCoIN: eight tasks learned one after another, from plain
/// LoRA to BranchLoRA, one policy a rung.
///
///     ablation                 one seed, every row, the table at the end
///     ablation --seeds 5       the study
///     ablation --rows "MoELoRA,BranchLoRA" --steps 50
///
/// To try a variant of your own, add a line to `ladder` and rebuild.
#include "branchlora/adapter/method.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "study.hpp"

using namespace branchlora;

// Rank 32 in all: 8 branches of rank 4, of which 2 are chosen.
using Moe = MoeLora<4, 8>;
using SharedTrunk = Moe::with<trunk::Shared>;
using Sparse = SharedTrunk::with<TopK<2>>;
using Freezing = Sparse::with<freezing::MostActive<2>>;
using Branch = BranchLora<4, 8, 2>;

int main(int argc, char** argv) {
  const std::vector<study::Row> ladder{
      study::zero_shot("Zero-shot"),
      study::stream<Lora<32>>("LoRA, same rank"),
      study::stream<Lora<36>>("LoRA, same size"),
      study::stream<Moe>("MoELoRA"),
      study::stream<SharedTrunk>("+ shared trunk"),
      study::stream<Sparse>("+ top-k"),
      study::stream<Freezing>("+ freezing"),
      study::stream<Branch>("BranchLoRA"),
      study::joint<Lora<32>>("Joint LoRA"),
  };
  return study::main(argc, argv, "ablation", ladder);
}
