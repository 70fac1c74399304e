// expect: balance::LossFree needs a gating with a bias, such as SigmoidRenormalised.
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

constexpr int rank = MoeLora<4, 8>::with<TopK<2>, balance::LossFree>::rank;
