// expect: selector::Each takes one selector or more, each of which finds the task by itself.
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;

using Told = selector::Each<selector::NearestKey, selector::Given>;
constexpr int rank = LoraBank<4, 8>::with<Told>::rank;
