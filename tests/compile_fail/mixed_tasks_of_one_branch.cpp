// expect: router::OwnBranch needs TopK<1>, and more if a selector mixes tasks.
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;

using Soft = selector::Each<selector::NearestKey, selector::Uniform>;
constexpr int rank = LoraBank<4, 8>::with<Soft>::rank;
