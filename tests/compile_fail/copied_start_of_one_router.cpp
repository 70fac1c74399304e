// expect: router_start::Copied needs per-task routers: a single router starts once.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<16, 8>::with<router_start::Copied>::rank;
