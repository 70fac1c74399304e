// expect: TopK exceeds Branches: a gate cannot choose more branches than there are.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Branches<4>, TopK<8>>::rank;
