// expect: The router inside PerModel must be as wide for every linear, with a matrix.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr bool one = router::PerModel<router::ContrastiveEmbedding>::per_model;
