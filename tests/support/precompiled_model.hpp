/// @file
/// The same for tests of models.
#pragma once

#include "branchlora/adapter/adapted_linear.hpp"
#include "branchlora/model/instances.hpp"
#include "support/precompiled.hpp"

BRANCHLORA_MODEL_INSTANCES(extern, eigen::Backend<float>)
BRANCHLORA_MODEL_INSTANCES(extern, eigen::Backend<double>)
