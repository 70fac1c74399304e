/// @file
/// The values of the losses that adapters add to the loss of the answer.
#pragma once

namespace branchlora {

/// The auxiliary losses of one batch, each with its weight, summed over adapted linears. Their
/// gradients are part of every backward pass; the values are computed where a batch asks for them
/// (`RoutingContext::losses`), for logs and curves.
struct AuxiliaryLosses {
  double balance = 0;        ///< Of load: `balance::Switch`, `balance::Localised`.
  double routing = 0;        ///< Of scores against the tasks of samples: supervision.
  double contrast = 0;       ///< Of task embeddings: `router::ContrastiveEmbedding`.
  double orthogonality = 0;  ///< Of a task's A's against those before: O-LoRA.

  constexpr double total() const { return balance + routing + contrast + orthogonality; }
  constexpr AuxiliaryLosses& operator+=(const AuxiliaryLosses& other) {
    balance += other.balance;
    routing += other.routing;
    contrast += other.contrast;
    orthogonality += other.orthogonality;
    return *this;
  }
  bool operator==(const AuxiliaryLosses&) const = default;
};

}  // namespace branchlora
