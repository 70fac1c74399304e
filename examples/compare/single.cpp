#include "entries.hpp"

#include "branchlora/adapter/variant/rs_lora.hpp"
#include "branchlora/continual/strategy/ewc.hpp"
#include "branchlora/continual/strategy/lwf.hpp"
#include "branchlora/continual/strategy/replay.hpp"

namespace compare {

std::vector<Entry> single() {
  const Entry lora = entry<Lora, 32>("LoRA");
  return {
      lora,
      entry<RsLora, 32>("rsLoRA"),
      lora.with("EWC", continual::strategy::Ewc{}),
      lora.with("LwF", continual::strategy::Lwf{}),
      lora.with("Replay", continual::strategy::Replay{}),
  };
}

}  // namespace compare
