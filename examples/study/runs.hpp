/// The runs of a stream of tasks that studies do: instances/runs.cpp compiles them for all
/// programs.
#pragma once

#include "branchlora/continual/instances.hpp"
#include "model.hpp"

BRANCHLORA_CONTINUAL_INSTANCES(extern, ::study::Backend)
