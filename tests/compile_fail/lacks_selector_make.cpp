// expect: A policy of category::Selector that finds lacks `static std::unique_ptr<TaskSelector>
// make
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/selector.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Selector;
  static constexpr bool selects = true;
  static constexpr bool finds = true;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
