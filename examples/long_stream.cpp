/// MiniCoIN-Long: 24 tasks that overlap and come back, so that branches run out for good, banks
/// grow, and it shows what sharing is worth.
///
///     long_stream                      one seed, every row, the table at the end
///     long_stream --rows "LoRA bank" --seeds 3
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/warm_bank.hpp"
#include "rows.hpp"

namespace {

using namespace branchlora;

constexpr int tasks = 24;
using Branch = BranchLora<4, 8, 2>::with<study::Selectors>;
using Bank = LoraBank<4, tasks>::with<study::Selectors>;
using Warm = WarmBank<4, tasks>::with<study::Selectors>;
/// At the parameters of the bank: one A for all, which the first eight tasks train.
using Trunk = WarmBank<7, tasks, trunk::FrozenAfter<8>>::with<study::Selectors>;

}  // namespace

int main(int argc, char** argv) {
  return study::main(
      argc, argv, "long_stream",
      {study::zero_shot("Zero-shot"), study::stream<Lora<32>>("LoRA"),
       study::stream<Branch>("BranchLoRA"), study::stream<Bank>("LoRA bank"),
       study::stream<Warm>("+ warm start"), study::stream<Trunk>("+ trunk of the first eight"),
       study::joint<Lora<32>>("Joint LoRA")},
      {}, "minicoin-long");
}
