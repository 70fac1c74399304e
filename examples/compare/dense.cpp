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

Hyper with_temperature(double temperature) {
  Hyper hyper = continual::Options{}.hyper;
  hyper.temperature = temperature;
  return hyper;
}

Hyper with_balance(const Hyper& own) {
  Hyper hyper = continual::Options{}.hyper;
  hyper.balance_weight = own.balance_weight;
  hyper.balance_delta = own.balance_delta;
  return hyper;
}

/// MoRE's loss is a mean over the adapted linears, each of which adds its own.
Hyper with_contrast(double weight) {
  Hyper hyper = continual::Options{}.hyper;
  hyper.contrast_weight = weight;
  return hyper;
}

}  // namespace

std::vector<Entry> dense() {
  return {
      entry<MoeLora8, 4>("MoELoRA"),
      entry<MoLora8, 4>("MoLoRA"),
      entry<LoraMoe8, 4>("LoRAMoE", with_balance(lora_moe_hyper)),
      entry<HydraLora4, 8>("HydraLoRA"),
      entry<MtlLora3, 16>("MTL-LoRA", with_temperature(mtl_lora_hyper.temperature)),
      entry<TaskMoeLora8, 4>("MOELoRA, task-gated"),
      entry<More, 32>("MoRE", with_contrast(0.1 / linears)),
      entry<MoreReleased, 32>("MoRE, as released", with_contrast(0.1 / linears)),
  };
}

}  // namespace compare
