// expect: gating::RankPrefix needs TopK equal to Branches: a prefix is chosen among all.
#include "branchlora/adapter/variant/more.hpp"

using namespace branchlora;

constexpr int rank = More<8>::with<TopK<2>>::rank;
