// expect: A policy of category::Rank lacks `static constexpr int value`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/rank.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Rank;
  static constexpr int rank = 4;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
