// expect: The M of exhausted::Grow<M> must be at least 1.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<16, 8, 2>::with<exhausted::Grow<0>>::rank;
