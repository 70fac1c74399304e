// expect: gating::Argmax needs supervision: no other gradient reaches its router.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<4, 8>::with<TopK<1>, gating::Argmax>::rank;
