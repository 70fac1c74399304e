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
/// What a task does to u = A x. Default: `transform::None`.
struct Transform {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool enabled = requires {
      { P::enabled } -> std::convertible_to<bool>;
    };
    static_assert(enabled || !say,
                  "A policy of category::Transform lacks `static constexpr bool enabled`: whether "
                  "tasks transform u.");
    constexpr bool parameters = requires {
      { P::parameters(1) } -> std::same_as<std::int64_t>;
    };
    static_assert(parameters || !say,
                  "A policy of category::Transform lacks `static constexpr std::int64_t "
                  "parameters(int rank)`: what each task trains.");
    return enabled && parameters;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = transform::None;
};
}  // namespace category

/// Asks for `enabled`, and `parameters(rank)`, what each task trains for it.
template <class P>
concept TransformPolicy = PolicyOf<P, category::Transform> && category::Transform::accepts<P>;

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
