// A branch that starts at another one's values, and at what its init sees of the weight.
// expect: A branch starts at another one's values or at what its init sees, not at both.
#include "branchlora/adapter/policy/init/pissa.hpp"
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;
constexpr int rank = LoraBank<2, 4>::with<branch_start::Latest, init::Pissa>::rank;
