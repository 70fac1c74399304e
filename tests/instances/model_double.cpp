#include "branchlora/eigen/instances.hpp"
#include "branchlora/model/instances.hpp"

BRANCHLORA_EIGEN_INSTANCES(extern)
BRANCHLORA_MODEL_INSTANCES(, eigen::Backend<double>)
