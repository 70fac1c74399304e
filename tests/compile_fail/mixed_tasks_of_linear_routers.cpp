// expect: A selector that mixes tasks needs router::OwnBranch: it weighs their branches.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<16, 8, 2>::with<selector::SoftmaxKeys<>>::rank;
