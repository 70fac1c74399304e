// expect: A policy of category::Reach lacks `static BranchSet allowed
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/reach.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Reach;
  static constexpr BranchSet allowed(BranchSet tunable) { return tunable; }
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
