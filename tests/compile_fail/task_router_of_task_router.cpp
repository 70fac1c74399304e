// expect: The router inside PerTask must not be a PerTask itself.
#include "branchlora/adapter/adapter.hpp"

using namespace branchlora;

constexpr int rank = Adapter<Branches<4>, router::PerTask<router::PerTask<>>>::rank;
