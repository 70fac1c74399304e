// expect: A balance loss needs TopK below Branches: dense gates load all branches alike.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<16, 8>::with<balance::Switch>::rank;
