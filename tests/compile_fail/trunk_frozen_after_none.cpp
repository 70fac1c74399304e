// A trunk that never trains under a name that says when it stops.
// expect: The Tasks of trunk::FrozenAfter<Tasks> must be at least 1.
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;
constexpr int rank = LoraBank<2, 4, trunk::FrozenAfter<0>>::rank;
