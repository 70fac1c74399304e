// expect: Per-task routers need a selector: selector::None leaves them without a task.
#include "branchlora/adapter/variant/branch_lora.hpp"

using namespace branchlora;

constexpr int rank = BranchLora<16, 8, 2>::with<selector::None>::rank;
