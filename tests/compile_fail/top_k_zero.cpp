// expect: The K of TopK<K> must be at least 1.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Branches<8>, TopK<0>>::rank;
