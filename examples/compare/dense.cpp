#include "entries.hpp"

#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora_moe.hpp"
#include "branchlora/adapter/variant/mo_lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/more.hpp"
#include "branchlora/adapter/variant/mtl_lora.hpp"
#include "branchlora/adapter/variant/task_moe_lora.hpp"

namespace compare {
namespace {

template <int R>
using MoeLora8 = MoeLora<R, 8>;
template <int R>
using HydraLora4 = HydraLora<R, 4>;
template <int R>
using MtlLora3 = MtlLora<R, 3>;
template <int R>
using TaskMoeLora8 = TaskMoeLora<R, 8>;
template <int R>
using MoLora8 = MoLora<R, 8>;
template <int R>
using LoraMoe8 = LoraMoe<R, 8>;

/// MoRE's loss is a mean over the adapted linears, each of which adds its own.
const Hyper more = hyper_with({{&Hyper::contrast_weight, 0.1 / linears}});

}  // namespace

std::vector<Entry> dense() {
  return {
      entry<MoeLora8, 4>("MoELoRA"),
      entry<MoLora8, 4>("MoLoRA"),
      entry<LoraMoe8, 4>("LoRAMoE",
                         hyper_with({{&Hyper::balance_weight, lora_moe_hyper.balance_weight},
                                     {&Hyper::balance_delta, lora_moe_hyper.balance_delta}})),
      entry<HydraLora4, 8>("HydraLoRA"),
      entry<MtlLora3, 16>("MTL-LoRA",
                          hyper_with({{&Hyper::temperature, mtl_lora_hyper.temperature}})),
      entry<TaskMoeLora8, 4>("MOELoRA, task-gated"),
      entry<More, 32>("MoRE", more),
      entry<MoreReleased, 32>("MoRE, as released", more),
  };
}

}  // namespace compare
