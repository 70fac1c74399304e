#include "model.hpp"

BRANCHLORA_MODEL_INSTANCES(, ::study::Backend)
