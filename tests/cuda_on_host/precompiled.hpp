/// @file
/// What most tests of the CUDA backend read, compiled once by CMake, with what `instances/` of
/// these and of all tests compile for them.
#pragma once

#include "branchlora/eigen/instances.hpp"
#include "cuda_on_host/instances.hpp"
#include "support/precompiled_model.hpp"

BRANCHLORA_FLOAT_INSTANCES(extern)
BRANCHLORA_DOUBLE_INSTANCES(extern)
