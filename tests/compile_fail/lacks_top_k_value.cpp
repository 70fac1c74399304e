// expect: A policy of category::TopK lacks `static constexpr int value`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/top_k.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::TopK;
  static constexpr int k = 2;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
