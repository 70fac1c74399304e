/// @file
/// LoRA: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) B A x, with A of R x d_in, B of d_out x R. A starts uniform in
/// +-1/sqrt(d_in), B at zero. No router.
template <int R>
using Lora = Adapter<Rank<R>>;

}  // namespace branchlora
