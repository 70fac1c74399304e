// expect: A policy of category::Freezing lacks `static BranchSet choose
#include "branchlora/adapter/policy/freezing.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Freezing;
  using Activity = activity::MeanWeight;
  static constexpr int count = 1;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
