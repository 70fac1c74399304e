// expect: exhausted::Grow needs a freezing policy: with freezing::Never no branch runs out.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<16, 8, 2>::with<exhausted::Grow<4>>::with<freezing::Never>::rank;
