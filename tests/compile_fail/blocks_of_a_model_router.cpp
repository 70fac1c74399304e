// expect: ByBlock takes no router::PerModel: its blocks may have other numbers of branches.
#include "branchlora/adapter/by_block.hpp"
#include "branchlora/adapter/variant/task_moe_lora.hpp"

using namespace branchlora;

constexpr int rows = ByBlock<TaskMoeLora<2, 4>, TaskMoeLora<2, 6>>::gate_rows;
