#include "branchlora/eigen/instances.hpp"
#include "cuda_on_host/instances.hpp"

BRANCHLORA_EIGEN_INSTANCES(extern)
BRANCHLORA_DOUBLE_INSTANCES()
