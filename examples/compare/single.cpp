#include "entries.hpp"

#include "branchlora/adapter/policy/init/eva.hpp"
#include "branchlora/adapter/policy/init/pissa.hpp"
#include "branchlora/adapter/variant/dora.hpp"
#include "branchlora/adapter/variant/icm_lora.hpp"
#include "branchlora/adapter/variant/o_lora.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"
#include "branchlora/continual/strategy/ewc.hpp"
#include "branchlora/continual/strategy/lwf.hpp"
#include "branchlora/continual/strategy/orthogonal.hpp"

namespace compare {
namespace {

template <int R>
using OLora8 = OLora<R, 8>;

template <int R>
using Pissa = Lora<R>::template with<init::Pissa>;
template <int R>
using Eva = Lora<R>::template with<init::Eva>;

}  // namespace

std::vector<Entry> single() {
  const Entry lora = entry<Lora, 32>("LoRA");
  return {
      lora,
      entry<RsLora, 32>("rsLoRA").with_alpha(64),  // LoRA's: nothing else tells them apart
      entry<Pissa, 32>("PiSSA"),
      entry<Eva, 32>("EVA"),
      lora.with("EWC", continual::strategy::Ewc{}),
      lora.with("LwF", continual::strategy::Lwf{}),
      entry<Dora, 32>("DoRA"),
      entry<OLora8, 32>("O-LoRA").with("O-LoRA", continual::strategy::Orthogonal{}),
      // Of rank 4 under every budget: its cost is its generator's, which grows with the adapter.
      entry<IcmLora, 4, 4>("ICM-LoRA").under(study::Protocol::generated),
  };
}

}  // namespace compare
