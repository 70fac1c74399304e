// expect: A policy of category::Selector lacks `static constexpr bool finds`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/selector.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
