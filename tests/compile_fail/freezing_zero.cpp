// expect: The K of freezing::MostActive<K> must be at least 1.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Branches<8>, freezing::MostActive<0>>::rank;
