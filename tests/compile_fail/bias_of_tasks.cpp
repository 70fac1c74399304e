// expect: A gating with a bias needs a router that reads its input.
#include "branchlora/adapter/variant/mtl_lora.hpp"

using namespace branchlora;

constexpr int rank = MtlLora<8, 3>::with<gating::SigmoidRenormalised>::rank;
