/// @file
/// Hyper-parameters of an adapter: numbers that change no code.
#pragma once

namespace branchlora {

/// The numbers an adapter runs with. The variants name their papers' values, such as
/// `branch_lora_hyper`.
struct Hyper {
  double alpha = 16.0;           ///< Enters the factor s, by the scaling policy.
  double dropout = 0.0;          ///< Probability that an input of A is zeroed in training.
  double balance_weight = 0.01;  ///< Factor of the balance loss, if the balance policy has one.
  double temperature = 1.0;      ///< Divides the scores of routers that know the task alone.
  double contrast_weight = 0.1;  ///< Factor of a layer's contrastive loss, if the router has one.

  bool operator==(const Hyper&) const = default;
};

}  // namespace branchlora
