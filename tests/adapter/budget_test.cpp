#include "branchlora/adapter/budget.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"

using namespace branchlora;

namespace {

constexpr ModelShape tiny = llama_shape("tiny", 4, 160, 416, 512);
constexpr ModelShape square = {
    "square", 1, {{{"q", 64, 64}, {"k", 64, 64}, {"v", 64, 64}, {"o", 64, 64}, {"gate", 64, 64},
                   {"up", 64, 64}, {"down", 64, 64}}}, {}};

template <int R>
using Moe = MoeLora<R, 8>;
template <int R>
using Branch = BranchLora<R, 8, 2>;

}  // namespace

TEST_CASE("a family against itself has the reference's rank") {
  static_assert(rank_for<Lora, Lora<32>>(Budget::parameters, tiny) == 32);
  static_assert(rank_for<Lora, Lora<32>>(Budget::flops, tiny) == 32);
  static_assert(rank_for<Moe, MoeLora<4, 8>>(Budget::parameters, tiny) == 4);
}

TEST_CASE("the rank by hand, where all linears are alike") {
  // LoRA of rank r on 64 x 64: 128 r. MoELoRA of 8 x r: 8 * 128 r + a router of 8 * 64. At 32 the
  // target is 4096; r = 3 gives 3584 (off by 512) and r = 4 4608 (off by as much): the smaller.
  static_assert(rank_for<Moe, Lora<32>>(Budget::parameters, square) == 3);
  // BranchLoRA: 64 r + 8 * 64 r + 512 = 576 r + 512; 4096 is nearest at r = 6 (3968).
  static_assert(rank_for<Branch, Lora<32>>(Budget::parameters, square) == 6);
  // Operations of a token in products of 2 * 64: LoRA 2 * 32 = 64; BranchLoRA r + 2 r + 8 / 32
  // (its router reads one token of 32): 63.25 at r = 21.
  static_assert(rank_for<Branch, Lora<32>>(Budget::flops, square) == 21);
}

TEST_CASE("no other rank is nearer") {
  const auto off = [](auto rank, auto target) {
    return std::abs(static_cast<double>(rank) - static_cast<double>(target));
  };
  constexpr int best = rank_for<Moe, Lora<36>>(Budget::parameters, tiny);
  const auto target = cost<Lora<36>>(Budget::parameters, tiny);
  const double nearest = off(cost<Moe<best>>(Budget::parameters, tiny), target);
  CHECK(nearest <= off(cost<Moe<best - 1>>(Budget::parameters, tiny), target));
  CHECK(nearest <= off(cost<Moe<best + 1>>(Budget::parameters, tiny), target));
}

TEST_CASE("a target out of reach ends at the largest rank") {
  static_assert(rank_for<Lora, Lora<64>, 8>(Budget::parameters, tiny) == 8);
}
