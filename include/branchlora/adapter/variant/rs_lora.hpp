/// @file
/// rsLoRA: Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / sqrt(R)) B A x: LoRA with a factor under which the size of the learned change
/// does not shrink as the rank grows. Shapes and initialisation are LoRA's.
template <int R>
using RsLora = Adapter<Rank<R>, scaling::AlphaOverSqrtRank>;

}  // namespace branchlora
