// expect: transform::PerTask needs trunk::Shared and per-task routers.
#include "branchlora/adapter/variant/mtl_lora.hpp"

using namespace branchlora;

constexpr int rank = MtlLora<8, 3>::with<trunk::Separate>::rank;
