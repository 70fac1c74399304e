// expect: A policy of category::Branches lacks `static constexpr int value`
#include "branchlora/adapter/policy/branches.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Branches;
  static constexpr int value = 0;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
