// expect: router::PerBlock needs gating::Argmax: gates that are shared send no gradient back.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<4, 8>::with<router::PerBlock<router::Linear<>>>::rank;
