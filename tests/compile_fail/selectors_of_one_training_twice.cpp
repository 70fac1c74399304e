// expect: selector::Each takes each selector once: a second one would find the same tasks.
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;

using Twice = selector::Each<selector::Ridge, selector::Ridge>;
constexpr int rank = LoraBank<4, 8>::with<Twice>::rank;
