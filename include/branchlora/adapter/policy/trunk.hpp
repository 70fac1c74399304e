/// @file
/// Policy: whether the branches share their A.
#pragma once

#include "branchlora/adapter/policy/policy.hpp"

namespace branchlora {

namespace trunk {
struct Separate;
}

namespace category {
struct Trunk;
}

/// Asks for `rows(rank, branches)`, the rows of all A's together, and `shared`, whether every
/// branch reads the same `rank` rows.
template <class P>
concept TrunkPolicy = PolicyOf<P, category::Trunk> && requires {
  { P::rows(1, 1) } -> std::same_as<int>;
  { P::shared } -> std::convertible_to<bool>;
};

namespace category {
/// Whether the branches share their A. Default: `trunk::Separate`.
struct Trunk {
  template <class P>
  static constexpr bool accepts = TrunkPolicy<P>;
  template <class Given>
  using Default = trunk::Separate;
};
}  // namespace category

namespace trunk {

/// Every branch has an A of its own: delta = s sum_i g_i B_i A_i x.
struct Separate {
  using Category = category::Trunk;
  static constexpr bool shared = false;
  static constexpr std::string_view name() { return "trunk::Separate"; }
  static constexpr int rows(int rank, int branches) { return rank * branches; }
  bool operator==(const Separate&) const = default;
};

/// One A for all branches: delta = s sum_i g_i B_i A x.
struct Shared {
  using Category = category::Trunk;
  static constexpr bool shared = true;
  static constexpr std::string_view name() { return "trunk::Shared"; }
  static constexpr int rows(int rank, int /*branches*/) { return rank; }
  bool operator==(const Shared&) const = default;
};

}  // namespace trunk
}  // namespace branchlora
