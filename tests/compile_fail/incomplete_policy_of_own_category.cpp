// expect: A policy lacks a member that its category asks for.
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Depth {
  template <class P>
  static constexpr bool accepts = requires {
    P::blocks;
  };
};

struct Half {
  using Category = Depth;
  static constexpr const char* name() { return "Half"; }
};

template struct branchlora::detail::Fit<Half>;
