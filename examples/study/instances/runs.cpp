#include "runs.hpp"

BRANCHLORA_CONTINUAL_INSTANCES(, ::study::Backend)
