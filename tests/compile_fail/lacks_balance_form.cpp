// expect: A policy of category::Balance lacks one of `static double slope
#include "branchlora/adapter/policy/balance.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Balance;
  static constexpr bool enabled = true;
  static constexpr double slope(double load) { return load; }
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
