// expect: Freezing takes more branches after a task than the Adapter has.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Branches<4>, freezing::MostActive<5>>::rank;
