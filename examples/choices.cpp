/// The choices that the paper on BranchLoRA leaves open, each against the default:
///
///     choices --seeds 3
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "rows.hpp"

using namespace branchlora;

using Default = BranchLora<4, 8, 2>;

int main(int argc, char** argv) {
  return study::main(
      argc, argv, "choices",
      {
          study::stream<Default>("BranchLoRA"),
          study::stream<Default::with<freezing::Never>>("freezing::Never"),
          study::stream<Default::with<freezing::MostActive<2, activity::SelectionCount>>>(
              "activity::SelectionCount"),
          study::stream<Default::with<exhausted::Grow<8>>>("exhausted::Grow<8>"),
          study::stream<Default::with<exhausted::FrozenOnly>>("exhausted::FrozenOnly"),
          study::stream<Default::with<router::PerTask<router::Linear<per::MeanToken>>>>(
              "per::MeanToken"),
          study::stream<Default::with<router::PerTask<router::Linear<per::Token>>>>("per::Token"),
          study::stream<Default::with<reach::TunableOnly>>("reach::TunableOnly"),
          study::stream<Default::with<gating::SoftmaxThenTopK>>("gating::SoftmaxThenTopK"),
          study::stream<Default::with<router_start::Copied>>("router_start::Copied"),
      });
}
