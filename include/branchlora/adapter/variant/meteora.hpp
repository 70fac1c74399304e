/// @file
/// MeteoRA: "MeteoRA: Multiple-tasks Embedded LoRA for Large Language Models", ICLR 2025 (arXiv
/// 2405.13053).
#pragma once

#include "branchlora/adapter/adapter.hpp"

namespace branchlora {

/// A bank of one LoRA a task, and a gate that is trained when the bank is there:
///
///     y = W x + (alpha / R) sum over i in S of softmax(l_S / temperature)_i B_i A_i x
///     l = W_g x, S = the K largest of l over the tasks begun so far
///
/// for each token, with A_i of R x d_in, B_i of d_out x R, W_g of N x d_in without bias, one gate
/// for each linear. A and W_g start uniform in +-1/sqrt(d_in), B at zero. Stage 0 trains A_t and
/// B_t on task t alone, with weight 1. Stage 1 freezes the bank and trains W_g, with the loss of
/// the answer and, for each linear, routing_weight * mean over tokens of CE(l / temperature, task).
///
/// Uncertain, or ours:
/// - the authors' script trains the LoRAs in stage 1 too; frozen ones are the paper's;
/// - the authors take the mean of the routing loss over all gates, with weight 50. Here each linear
///   adds its own, so `routing_weight` is to be 50 divided by their number;
/// - what trains beside adapters, such as a projector, trains in stage 1 too, under the bank;
/// - the loss counts all tokens of a sample; its gradient reaches x;
/// - how many steps are for which stage is not given: half each;
/// - the bank may have more branches than tasks have begun: those are never chosen;
/// - a causal model can not tell the task of a token that comes before what tells it, as a picture
///   does before its instruction: such tokens get a mix of the bank, which was trained on them with
///   one branch at weight 1. Jointly trained on tasks that look alike, answers suffer for that,
///   however well the bank has learned them; MoA, which asks a whole sequence, does not;
/// - where tasks come one after another, the gate sees one task at a time, and forgets as any
///   shared parameter does: the method was made for stage 1 over all tasks together.
template <int R, int N, int K>
using MeteoRa = Adapter<Rank<R>, Branches<N>, TopK<K>, trunk::Separate, router::Linear<per::Token>,
                        freezing::OwnBranch, supervision::BankThenRouter>;

/// The authors' settings, at R = 8, N = 28 and K = 2; alpha is LoRA's, since theirs is not known.
/// Tests on sequences of several tasks were run at temperatures of 15 to 30.
inline constexpr Hyper meteora_hyper{.alpha = 16.0, .temperature = 1.0, .routing_weight = 50.0};

}  // namespace branchlora
