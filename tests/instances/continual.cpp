#include "branchlora/continual/instances.hpp"
#include "branchlora/eigen/instances.hpp"
#include "branchlora/model/instances.hpp"

BRANCHLORA_EIGEN_INSTANCES(extern)
BRANCHLORA_MODEL_INSTANCES(extern, eigen::Backend<float>)
BRANCHLORA_CONTINUAL_INSTANCES(, eigen::Backend<float>)
