// expect: The variants of ByBlock must agree on freezing, selector, supervision and task routers.
#include "branchlora/adapter/by_block.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rows = ByBlock<MoeLora<2, 4>, BranchLora<2, 4, 2>>::gate_rows;
