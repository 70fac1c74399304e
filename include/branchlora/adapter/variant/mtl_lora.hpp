/// @file
/// MTL-LoRA: Yang et al., "MTL-LoRA: Low-Rank Adaptation for Multi-Task Learning", arXiv
/// 2410.09437.
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// y = W x + (alpha / R) sum_i softmax(w_t / temperature)_i B_i Lambda_t A x for a sample of task
/// t, with one A of R x d_in, B_i of d_out x R, Lambda_t of R x R, w_t of N numbers. A starts
/// uniform in
/// +-1/sqrt(d_in), B at zero, Lambda at the identity, w uniform in +-1/sqrt(N). For one task it is
/// one LoRA, which merges into W (`merge_task_into`).
///
/// A summary calls Lambda diagonal; the authors' scripts train a full one, as this does. The method
/// was made for joint training; in a stream, Lambda_t and w_t of earlier tasks are frozen while A
/// and B go on training, and the selector finds the task at inference. Both are ours.
template <int R, int N>
using MtlLora =
    Adapter<Rank<R>, Branches<N>, trunk::Shared, router::TaskWeights, transform::PerTask>;

/// The authors' settings, at R = 8 and N = 3.
inline constexpr Hyper mtl_lora_hyper{.alpha = 16.0, .dropout = 0.05, .temperature = 0.1};

}  // namespace branchlora
