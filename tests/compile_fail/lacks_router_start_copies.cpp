// expect: A policy of category::RouterStart lacks `static constexpr bool copies`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/router_start.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::RouterStart;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
