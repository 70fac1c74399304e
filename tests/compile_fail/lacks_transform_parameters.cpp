// expect: A policy of category::Transform lacks `static constexpr std::int64_t parameters
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/transform.hpp"

using namespace branchlora;

struct Mine {
  using Category = category::Transform;
  static constexpr bool enabled = true;
  static constexpr const char* name() { return "Mine"; }
};

template struct branchlora::detail::Fit<Mine>;
