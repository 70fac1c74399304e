// A policy of how a branch starts that does not say where.
// expect: A policy of category::BranchStart lacks `static constexpr StartAt at`
#include "branchlora/adapter/variant/lora_bank.hpp"

using namespace branchlora;
struct Nowhere {
  using Category = category::BranchStart;
  static constexpr std::string_view name() { return "Nowhere"; }
};
constexpr int rank = LoraBank<2, 4>::with<Nowhere>::rank;
