/// The model that studies train, on their backend: instances/model.cpp compiles it for all
/// programs.
#pragma once

#include "backend.hpp"
#include "branchlora/model/instances.hpp"

BRANCHLORA_MODEL_INSTANCES(extern, ::study::Backend)
