// expect: A policy of category::Supervision lacks `static constexpr std::array stages`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/supervision.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Supervision;
  static constexpr bool enabled = true;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
