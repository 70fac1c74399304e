// expect: The R of Rank<R> must be at least 1.
#include "branchlora/adapter/variant/lora.hpp"

using namespace branchlora;

constexpr int rank = Lora<0>::rank;
