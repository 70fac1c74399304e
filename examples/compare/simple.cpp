#include "entries.hpp"

#include "branchlora/adapter/on_attention.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"
#include "branchlora/adapter/variant/warm_bank.hpp"
#include "branchlora/continual/strategy/learn_first.hpp"
#include "branchlora/continual/strategy/replay.hpp"
#include "branchlora/continual/strategy/weight_average.hpp"

namespace compare {
namespace {

template <int R>
using Bank8 = LoraBank<R, 8>;
template <int R>
using WarmBank8 = WarmBank<R, 8>;
template <int R>
using SharedBank8 = LoraBank<R, 8, trunk::Shared>;
template <int R>
using AttentionLora = OnAttention<Lora<R>>;

}  // namespace

std::vector<Entry> simple() {
  using namespace continual::strategy;
  const Entry lora = entry<Lora, 32>("LoRA");
  return {
      entry<Bank8, 4>("LoRA bank"),
      entry<WarmBank8, 4>("LoRA bank, warm start"),
      entry<SharedBank8, 4>("LoRA bank, shared trunk"),
      entry<AttentionLora, 32, 128>("LoRA, attention only"),
      lora.with("LoRA, first task only", LearnFirst{.tasks = 1}),
      lora.with("LoRA, mean of tasks", WeightAverage{}),
      // A sample takes little more than its picture's features, 32 KiB: there is room for 31 here,
      // then for 7, 127 and 511.
      lora.with("Replay", Replay{}),
      lora.with("Replay, 1/4 MiB", Replay{.bytes = 1 << 18}),
      lora.with("Replay, 4 MiB", Replay{.bytes = 1 << 22}),
      lora.with("Replay, 16 MiB", Replay{.bytes = 1 << 24}),
  };
}

}  // namespace compare
