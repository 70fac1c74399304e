/// @file
/// What variants have in common whose adapters know neither branches nor tasks.
#pragma once

#include "branchlora/adapter/policy/freezing.hpp"
#include "branchlora/adapter/policy/selector.hpp"

namespace branchlora {

/// What `method_of` asks of a variant: nothing is routed by task, selected, or frozen by activity.
struct PlainVariant {
  static constexpr bool per_task_router = false;
  using Selector = selector::None;
  using Freezing = freezing::Never;
};

}  // namespace branchlora
