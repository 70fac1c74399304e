// expect: balance::Localised needs a router of tokens: it compares the tokens of a sample.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<4, 8>::with<balance::Localised, router::Linear<per::MeanToken>>::rank;
