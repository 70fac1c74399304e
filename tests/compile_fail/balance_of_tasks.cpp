// expect: A balance loss needs a router that reads its input: tasks need no balance.
#include "branchlora/adapter/variant/mtl_lora.hpp"

using namespace branchlora;

constexpr int rank = MtlLora<8, 3>::with<TopK<2>, balance::Switch>::rank;
