// expect: An argument of an Adapter is no policy: an empty type with a Category and a name().
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Rank<8>, int>::rank;
