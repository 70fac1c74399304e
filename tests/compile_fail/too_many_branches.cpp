// expect: An Adapter can have at most 64 branches, those that may be added included.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<1, 64, 2>::with<exhausted::Grow<8>>::rank;
