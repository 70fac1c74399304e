// expect: A policy of category::Init lacks `static init::Factors start
#include "branchlora/adapter/policy/init.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Init;
  static constexpr init::Needs needs{.weight = true};
  static constexpr bool residual = true;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
