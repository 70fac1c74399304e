// expect: A policy of category::Scaling lacks `static double value
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/scaling.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Scaling;
  static constexpr double value(double alpha, int rank) { return alpha / rank; }
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
