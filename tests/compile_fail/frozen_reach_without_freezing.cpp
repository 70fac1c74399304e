// expect: reach::FrozenOnly needs a freezing policy: with freezing::Never nothing freezes.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<16, 8>::with<reach::FrozenOnly>::rank;
