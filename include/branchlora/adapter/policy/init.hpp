/// @file
/// Policy: how A starts. B starts at zero, always, so that a new adapter changes nothing.
#pragma once

#include <cmath>

#include "branchlora/adapter/policy/policy.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora {

namespace init {
struct KaimingUniform;
}

namespace category {
/// How A starts. Default: `init::KaimingUniform`.
struct Init {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    constexpr bool draw = requires(const Random& random) {
      { P::draw(random, std::uint64_t{0}, Index{1}) } -> std::same_as<double>;
    };
    static_assert(draw || !say,
                  "A policy of category::Init lacks `static double draw(const Random& random, "
                  "std::uint64_t i, Index fan_in)`: element i of A.");
    return draw;
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = init::KaimingUniform;
};
}  // namespace category

/// Asks for `draw(random, i, fan_in)`: element `i` of an A with `fan_in` columns. One that says how
/// a linear router starts as well has a `draw_router` of the same form.
template <class P>
concept InitPolicy = PolicyOf<P, category::Init> && category::Init::accepts<P>;

namespace init {

/// A ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the uniform form of He et al. 2015 with a = sqrt(5), the
/// default of LoRA's and HydraLoRA's code.
struct KaimingUniform {
  using Category = category::Init;
  static constexpr std::string_view name() { return "init::KaimingUniform"; }
  static double draw(const Random& random, std::uint64_t i, Index fan_in) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(fan_in));
    return random.uniform(i, -bound, bound);
  }
  bool operator==(const KaimingUniform&) const = default;
};

/// A ~ N(0, 0.01^2), as in CoIN's code.
struct Gaussian {
  using Category = category::Init;
  static constexpr std::string_view name() { return "init::Gaussian"; }
  static double draw(const Random& random, std::uint64_t i, Index /*fan_in*/) {
    return 0.01 * random.normal(i);
  }
  bool operator==(const Gaussian&) const = default;
};

/// A and routers ~ N(0, 0.02^2), as in MoLoRA's code.
struct GaussianAll {
  using Category = category::Init;
  static constexpr std::string_view name() { return "init::GaussianAll"; }
  static double draw(const Random& random, std::uint64_t i, Index /*fan_in*/) {
    return 0.02 * random.normal(i);
  }
  static double draw_router(const Random& random, std::uint64_t i, Index fan_in) {
    return draw(random, i, fan_in);
  }
  bool operator==(const GaussianAll&) const = default;
};

}  // namespace init
}  // namespace branchlora
