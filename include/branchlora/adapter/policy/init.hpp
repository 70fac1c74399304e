/// @file
/// Policy: how A and B start. A new adapter changes nothing: B is zero, or what the factors are at
/// the start is taken off the frozen weight.
#pragma once

#include <cmath>
#include <concepts>
#include <type_traits>

#include "branchlora/adapter/policy/policy.hpp"
#include "branchlora/adapter/policy/start.hpp"
#include "branchlora/core/random.hpp"

namespace branchlora {

namespace init {
struct KaimingUniform;
}

namespace category {
/// How A and B start. Default: `init::KaimingUniform`.
struct Init {
  /// Whether `P` has each member that is asked for; if not, an error for it where `say` holds.
  template <class P, bool say = false>
  static consteval bool check() {
    if constexpr (requires { P::needs; }) {
      constexpr bool needs = std::same_as<decltype(P::needs), const init::Needs>;
      static_assert(needs || !say,
                    "A policy of category::Init lacks `static constexpr init::Needs needs`: what a "
                    "start asks for.");
      if constexpr (needs) {
        static_assert(P::needs.any() || !say,
                      "A policy of category::Init that needs nothing has a `draw`, not a `start`.");
        if (!P::needs.any()) return false;
      }
      constexpr bool start = requires(const init::Given& given) {
        { P::start(given) } -> std::same_as<init::Factors>;
      };
      static_assert(start || !say,
                    "A policy of category::Init lacks `static init::Factors start(const "
                    "init::Given& given)`: the factors, from what it needs.");
      constexpr bool residual = requires {
        { P::residual } -> std::convertible_to<bool>;
      };
      static_assert(residual || !say,
                    "A policy of category::Init lacks `static constexpr bool residual`: whether "
                    "what the factors are at the start is taken off the frozen weight.");
      return needs && start && residual;
    } else {
      constexpr bool draw = requires(const Random& random) {
        { P::draw(random, std::uint64_t{0}, Index{1}) } -> std::same_as<double>;
      };
      static_assert(draw || !say,
                    "A policy of category::Init lacks `static double draw(const Random& random, "
                    "std::uint64_t i, Index fan_in)`: element i of A.");
      return draw;
    }
  }
  template <class P>
  static constexpr bool accepts = check<P>();
  template <class Given>
  using Default = init::KaimingUniform;
};
}  // namespace category

/// Asks for `draw(random, i, fan_in)`: element `i` of an A with `fan_in` columns. One that says how
/// a linear router starts as well has a `draw_router` of the same form.
///
/// Or for `needs`, what the start asks for beside a shape (`init::Needs`); `start(given)`, A and B
/// from that; and `residual`: where it holds, the frozen weight W becomes the residual W - s B A
/// of the start, else B must be zero. Until it starts, such an adapter is drawn as the default.
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

/// What the start of a policy asks for beside a shape: nothing, if it is drawn.
template <InitPolicy P>
consteval Needs needs_of() {
  if constexpr (requires { P::needs; }) return P::needs;
  return {};
}

/// Whether what the factors are at the start is taken off the frozen weight.
template <InitPolicy P>
consteval bool has_residual() {
  if constexpr (requires { P::needs; }) return P::residual;
  return false;
}

/// How the factors are drawn before they start: by the policy, or as the default where it draws
/// none.
template <InitPolicy P>
using Drawn = std::conditional_t<needs_of<P>().any(), KaimingUniform, P>;

}  // namespace init
}  // namespace branchlora
