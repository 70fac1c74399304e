/// The ablation ladder of BranchLoRA on MiniCoIN: eight tasks learned one after another, from plain
/// LoRA to BranchLoRA, one policy a rung.
///
///     ablation                 one seed, every row, the table at the end
///     ablation --seeds 5       the study
///     ablation --rows "MoELoRA;BranchLoRA" --steps 50
///
/// The rows are in ladder.hpp.
#include "ladder.hpp"

int main(int argc, char** argv) {
  return study::main(argc, argv, "ablation", ladder::rows());
}
