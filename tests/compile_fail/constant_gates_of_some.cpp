// expect: Constant gates need TopK equal to Branches, and neither gating nor balance.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<2, 4>::with<router::Uniform, TopK<2>>::rank;
