#include <algorithm>

#include "entries.hpp"

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/conditional_mix_lora.hpp"
#include "branchlora/adapter/variant/meteora.hpp"
#include "branchlora/adapter/variant/mix_lora.hpp"
#include "branchlora/adapter/variant/moa.hpp"
#include "branchlora/adapter/variant/smora.hpp"

namespace compare {
namespace {

template <int R>
using BranchLora8 = BranchLora<R, 8, 2>;
template <int R>
using Growing = BranchLora8<R>::template with<exhausted::Grow<8>>;

/// Pools of twice as many factors as are chosen.
template <int R>
using Conditional = ConditionalMixLora<2 * R, R>;
template <int R>
using Scored = ScoredMixLora<2 * R, R>;
template <int R>
using MixLora4 = MixLora<R, 4, 2>;

/// One rank of eight is chosen, as the authors do, and of two at least.
template <int R>
using SMora8 = SMora<std::max(R, 2), (R + 7) / 8>;
template <int R>
using SMoraSoftmax8 = SMoraSoftmax<std::max(R, 2), (R + 7) / 8>;

/// Banks of one LoRA for each of the eight tasks.
template <int R>
using MeteoRa8 = MeteoRa<R, 8, 2>;
template <int R>
using Moa8 = Moa<R, 8>;

}  // namespace

std::vector<Entry> sparse() {
  return {
      entry<BranchLora8, 4>("BranchLoRA"),
      entry<Growing, 4>("BranchLoRA, growing"),
      entry<Conditional, 16, 32>("Conditional MixLoRA"),
      entry<Scored, 16, 32>("Conditional MixLoRA, scored"),
      // The authors' loss is one over all blocks, and counts each of a token's two choices.
      entry<MixLora4, 8>("MixLoRA", hyper_with({{&Hyper::balance_weight,
                                                 2 * mix_lora_hyper.balance_weight / blocks}})),
      entry<SMora8, 32>("SMoRA"),
      entry<SMoraSoftmax8, 32>("SMoRA, softmax"),
      // Their losses are means over all routers: 28 of MeteoRA, 4 of MoA.
      entry<MeteoRa8, 4>("MeteoRA", hyper_with({{&Hyper::routing_weight,
                                                 meteora_hyper.routing_weight / linears}})),
      entry<Moa8, 4>("MoA",
                     hyper_with({{&Hyper::routing_weight, moa_hyper.routing_weight / blocks}})),
  };
}

}  // namespace compare
