// expect: A selector needs per-task routers: without them there is nothing to select.
#include "branchlora/adapter/variant/hydra_lora.hpp"

using namespace branchlora;

constexpr int rank = HydraLora<4, 4>::with<selector::NearestKey>::rank;
