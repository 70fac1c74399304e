// The nearest task, where no selector knows tasks.
// expect: branch_start::Nearest needs a selector that finds tasks: it says which is near.
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;
constexpr int rank = LoraBank<2, 4>::with<branch_start::Nearest, selector::Given>::rank;
