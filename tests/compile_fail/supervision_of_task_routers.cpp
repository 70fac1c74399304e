// expect: Supervision needs one router for all tasks, which learns to tell them apart.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<4, 8, 2>::with<supervision::TaskLabel>::rank;
