// expect: The gating needs TopK equal to Branches: it finds by itself how many have weight.
#include "branchlora/adapter/variant/adamole.hpp"

using namespace branchlora;

constexpr int rank = AdaMole<2, 4>::with<TopK<2>>::rank;
