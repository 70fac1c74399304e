// expect: A policy of category::Exhausted lacks `static BranchSet thaw
#include "branchlora/adapter/policy/exhausted.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Exhausted;
  static constexpr int extra = 0;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
