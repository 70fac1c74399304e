/// @file
/// Equal terms: the rank at which a family of variants costs what another variant costs.
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "branchlora/adapter/model_shape.hpp"

namespace branchlora {

/// What two variants are made to have in common.
enum class Budget {
  rank,        ///< Rows of all A's and of all B's as counted by each family itself.
  parameters,  ///< Trainable parameters of a task: A's, B's and one router.
  flops,       ///< Operations of one training step, forward and backward.
};

/// The budgets by name.
inline constexpr std::array<std::pair<std::string_view, Budget>, 3> budgets{
    {{"rank", Budget::rank}, {"parameters", Budget::parameters}, {"flops", Budget::flops}}};

/// The operations of a step are counted for a batch of these sizes.
struct StepShape {
  std::int64_t tokens = 512;
  std::int64_t sequences = 16;
};

/// What `V` costs on a model under a budget that is not `Budget::rank`.
template <PricedOnModels V>
constexpr std::int64_t cost(Budget budget, const ModelShape& model, const StepShape& step = {}) {
  if (budget == Budget::parameters) return parameters<V>(model).total();
  const Work work = flops<V>(model, step.tokens, step.sequences).adapter;
  return work.forward + work.backward;
}

/// The R of 1 .. `Most` at which `Family<R>` on a model costs as nearly what `Reference` costs as
/// any (the smaller of two that are as near).
template <template <int> class Family, PricedOnModels Reference, int Most = 64>
constexpr int rank_for(Budget budget, const ModelShape& model, const StepShape& step = {}) {
  const std::int64_t target = cost<Reference>(budget, model, step);
  int best = 1;
  std::int64_t distance = -1;
  const auto look = [&](int rank, std::int64_t found) {
    const std::int64_t off = found < target ? target - found : found - target;
    if (distance < 0 || off < distance) {
      best = rank;
      distance = off;
    }
  };
  [&]<int... Rs>(std::integer_sequence<int, Rs...>) {
    (look(Rs + 1, cost<Family<Rs + 1>>(budget, model, step)), ...);
  }
  (std::make_integer_sequence<int, Most>());
  return best;
}

}  // namespace branchlora
