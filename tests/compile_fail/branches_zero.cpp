// expect: The N of Branches<N> must be at least 1.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<8, 0>::rank;
