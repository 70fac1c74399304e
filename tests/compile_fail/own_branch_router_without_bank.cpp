// A router that takes the task's branch, where branches belong to no task.
// expect: router::OwnBranch needs freezing::OwnBranch: a task has one branch.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;
constexpr int rank = MoeLora<2, 4>::with<router::OwnBranch>::rank;
