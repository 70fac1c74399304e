#include "backend.hpp"

BRANCHLORA_EIGEN_INSTANCES()
