#include "entries.hpp"

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/conditional_mix_lora.hpp"
#include "branchlora/adapter/variant/mix_lora.hpp"

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

}  // namespace

std::vector<Entry> sparse() {
  return {
      entry<BranchLora8, 4>("BranchLoRA"),
      entry<Growing, 4>("BranchLoRA, growing"),
      entry<Conditional, 16, 32>("Conditional MixLoRA"),
      entry<Scored, 16, 32>("Conditional MixLoRA, scored"),
      entry<MixLora4, 8>("MixLoRA"),
  };
}

}  // namespace compare
