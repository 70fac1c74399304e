/// @file
/// Hyper-parameters of an adapter: numbers that change no code.
#pragma once

#include <cstdint>

namespace branchlora {

/// The numbers an adapter runs with. The variants name their papers' values, such as
/// `branch_lora_hyper`.
struct Hyper {
  double alpha = 16.0;           ///< Enters the factor s, by the scaling policy.
  double dropout = 0.0;          ///< Probability that an input of A is zeroed in training.
  double balance_weight = 0.01;  ///< Factor of the balance loss, if the balance policy has one.
  double temperature = 1.0;      ///< Divides the scores of a router.
  double contrast_weight = 0.1;  ///< Factor of a layer's contrastive loss, if the router has one.
  double routing_weight = 1.0;   ///< Factor of a layer's routing loss, where tasks are its labels.
  double balance_delta = 0.1;    ///< By how much `balance::Localised` favours half of the branches.
  double bias_rate = 1e-5;       ///< The step of `balance::LossFree`.
  std::uint64_t task_types = 0xaaaa'aaaa'aaaa'aaaa;  ///< Bit t mod 64: the type of task t, 0 or 1.

  bool operator==(const Hyper&) const = default;
};

}  // namespace branchlora
