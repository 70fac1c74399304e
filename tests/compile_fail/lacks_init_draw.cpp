// expect: A policy of category::Init lacks `static double draw
#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Init;
  static double draw(const Random& random) { return random.normal(0); }
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
