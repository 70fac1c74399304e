// expect: More than one branch needs a router: router::None gives them no weights.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<16, 8>::with<router::None>::rank;
