// expect: The Activity of a freezing policy lacks `static double of(double weight)`
#include "branchlora/adapter/policy/freezing.hpp"
#include "branchlora/adapter/policy/list.hpp"

using namespace branchlora;

struct Largest {
  static constexpr const char* name() { return "Largest"; }
};

template struct branchlora::detail::Fit<freezing::MostActive<1, Largest>>;
