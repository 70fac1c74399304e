// expect: The Granularity of a router lacks `static constexpr bool every_token`
#include "branchlora/adapter/policy/list.hpp"
#include "branchlora/adapter/policy/router.hpp"

using namespace branchlora;

struct LastToken {
  static constexpr bool per_sequence = true;
  static constexpr const char* name() { return "LastToken"; }
};

template struct branchlora::detail::Fit<router::Linear<LastToken>>;
