// expect: An Adapter takes at most one policy of a category: use with<...> to replace one.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Rank<8>, Branches<4>, Rank<4>>::rank;
