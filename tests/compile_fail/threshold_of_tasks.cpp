// expect: A gating of more scores than branches needs a router that reads its input.
#include "branchlora/adapter/variant/task_moe_lora.hpp"

using namespace branchlora;

constexpr int rank = TaskMoeLora<2, 4>::with<gating::Threshold<>>::rank;
