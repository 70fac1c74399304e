/// @file
/// Policy: what a task does to the trunk's output before it is mixed.
#pragma once

#include <cstdint>

#include "branchlora/adapter/policy/policy.hpp"
#include "branchlora/core/backend.hpp"

namespace branchlora {

template <Backend B, class V>
class TaskTransform;

namespace transform {
struct None;
}

namespace category {
struct Transform;
}

/// Asks for `enabled`, and `parameters(rank)`, what each task trains for it.
template <class P>
concept TransformPolicy = PolicyOf<P, category::Transform> && requires {
  { P::enabled } -> std::convertible_to<bool>;
  { P::parameters(1) } -> std::same_as<std::int64_t>;
};

namespace category {
/// What a task does to u = A x. Default: `transform::None`.
struct Transform {
  template <class P>
  static constexpr bool accepts = TransformPolicy<P>;
  template <class Given>
  using Default = transform::None;
};
}  // namespace category

namespace transform {

/// u is mixed as it is.
struct None {
  using Category = category::Transform;
  static constexpr bool enabled = false;
  static constexpr std::string_view name() { return "transform::None"; }
  static constexpr std::int64_t parameters(int /*rank*/) { return 0; }
  bool operator==(const None&) const = default;
};

/// Each task t mixes Lambda_t u, with a rank x rank matrix of its own that starts as the identity.
/// MTL-LoRA's; full, as in the authors' scripts.
struct PerTask {
  using Category = category::Transform;
  static constexpr bool enabled = true;
  static constexpr std::string_view name() { return "transform::PerTask"; }
  static constexpr std::int64_t parameters(int rank) { return std::int64_t{rank} * rank; }
  bool operator==(const PerTask&) const = default;
};

}  // namespace transform
}  // namespace branchlora
