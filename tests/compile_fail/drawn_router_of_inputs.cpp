// expect: The router inside Drawn must be a router of tasks.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr bool per_task = router::Drawn<router::Linear<>>::per_task;
