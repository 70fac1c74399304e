#include "branchlora/eigen/instances.hpp"

BRANCHLORA_EIGEN_INSTANCES()
