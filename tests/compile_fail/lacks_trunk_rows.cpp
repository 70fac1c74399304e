// expect: A policy of category::Trunk lacks `static constexpr int rows(int rank, int branches)`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/trunk.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Trunk;
  static constexpr bool shared = true;
  static constexpr int rows(int rank) { return rank; }
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
