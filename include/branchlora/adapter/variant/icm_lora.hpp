/// @file
/// ICM-LoRA: Shao et al., "In-Context Meta LoRA Generation", arXiv 2501.17635, 2025.
#pragma once

#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"

namespace branchlora {

/// y = W x + (alpha / sqrt(R)) B A x, with A of R x d_in, B of d_out x R: rsLoRA whose A starts
/// normal. What is ICM-LoRA's own is where the weights of later use come from: not from a file but
/// from a conditional VAE (`generator/`) that learned a bank of checkpoints of several tasks and
/// makes A and B of all layers together from a task vector and a latent z. The adapter itself does
/// not know; it is trained, and used, like any other.
///
/// Uncertain:
/// - The paper reports 283 MB for the generator. At its sizes the network has 7.51 M parameters, 30
///   MB in float; what else was counted is not said.
/// - Generated vectors are scaled back by the means and deviations of a trained checkpoint of the
///   same task. That task was trained, so this is compression of a bank and not zero-shot
///   generation.
/// - The paper's generator is joint over tasks, as ours; the released script trains one a task.
/// - A's Gaussian has deviation 0.01 here (`init::Gaussian`); PEFT's "gaussian" has 1 / R.
template <int R>
using IcmLora = RsLora<R>::template with<init::Gaussian>;

/// The authors' alpha; they try R of 1, 2, 4 and 8.
inline constexpr Hyper icm_lora_hyper{.alpha = 8.0};

}  // namespace branchlora
