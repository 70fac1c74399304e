// expect: The gating needs TopK equal to Branches: it finds by itself how many have weight.
#include "branchlora/adapter/variant/more.hpp"

using namespace branchlora;

constexpr int rank = More<8>::with<TopK<2>>::rank;
