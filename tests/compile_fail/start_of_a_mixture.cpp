// expect: A start from more than a shape needs one branch, or trunk
#include "branchlora/adapter/policy/init/pissa.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"

using namespace branchlora;

constexpr int rank = HydraLora<8, 4>::with<init::Pissa>::rank;
