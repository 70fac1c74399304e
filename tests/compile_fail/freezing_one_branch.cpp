// expect: Freezing needs more than one branch: it would end all training.
#include "branchlora/adapter/variant/lora.hpp"

using namespace branchlora;

constexpr int rank = Lora<8>::with<freezing::MostActive<1>>::rank;
