// A branch that starts at an earlier task's, where branches belong to no task.
// expect: A branch starts at another one's values with freezing::OwnBranch only
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;
constexpr int rank = MoeLora<2, 4>::with<branch_start::Latest>::rank;
