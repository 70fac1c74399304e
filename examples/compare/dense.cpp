#include "entries.hpp"

#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"

namespace compare {
namespace {

template <int R>
using MoeLora8 = MoeLora<R, 8>;
template <int R>
using HydraLora4 = HydraLora<R, 4>;

}  // namespace

std::vector<Entry> dense() {
  return {
      entry<MoeLora8, 4>("MoELoRA"),
      entry<HydraLora4, 8>("HydraLoRA"),
  };
}

}  // namespace compare
