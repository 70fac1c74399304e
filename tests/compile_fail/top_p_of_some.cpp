// expect: The gating needs TopK equal to Branches: it finds by itself how many have weight.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<2, 4, 2>::with<gating::TopP<60>>::rank;
