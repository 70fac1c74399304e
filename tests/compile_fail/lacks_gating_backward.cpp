// expect: A policy of category::Gating lacks `static void backward<N, K>`
#include "branchlora/adapter/policy/gating.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Gating;
  template <Index N, Index K, class T>
  static void forward(const T*, BranchSet, T*, T*, std::int32_t*) {}
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
