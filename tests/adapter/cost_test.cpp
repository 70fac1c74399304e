#include "branchlora/adapter/cost.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "branchlora/adapter/model_shape.hpp"
#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/lora_moe.hpp"
#include "branchlora/adapter/variant/meteora.hpp"
#include "branchlora/adapter/variant/mo_lora.hpp"
#include "branchlora/adapter/variant/moa.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/smora.hpp"

namespace branchlora {
namespace {

/// Tenths of a million, rounded, as papers print them.
constexpr std::int64_t tenths(std::int64_t n) { return (n + 50'000) / 100'000; }

// Eight branches of rank 16 on LLaVA-1.5-7B: the papers' 350 M and 222 M.
constexpr Parameters moe = parameters<MoeLora<16, 8>>(llava_7b);
constexpr Parameters branch = parameters<BranchLora<16, 8, 2>>(llava_7b);
constexpr std::int64_t projector = llava_7b.projector_parameters();
static_assert(moe.adapter() == 319'815'680 && tenths(moe.adapter()) == 3198);
static_assert(moe.router == 9'109'504 && tenths(moe.router) == 91);
static_assert(projector == 20'979'712 && tenths(projector) == 210);
static_assert(tenths(moe.total() + projector) == 3499);
static_assert(branch.adapter() == 192'282'624 && tenths(branch.adapter()) == 1923);
static_assert(branch.router == moe.router);
static_assert(tenths(branch.total() + projector) == 2224);

// The same on 13B, by hand: sums of d_in + d_out, d_in, d_out over the seven linears are 97792,
// 44544 and 53248.
static_assert(parameters<MoeLora<16, 8>>(llava_13b).adapter() == 40LL * 128 * 97'792);
static_assert(parameters<MoeLora<16, 8>>(llava_13b).router == 40LL * 8 * 44'544);
static_assert(parameters<BranchLora<16, 8, 2>>(llava_13b).adapter() ==
              40LL * (16 * 44'544 + 128 * 53'248));
static_assert(llava_13b.projector_parameters() == 1024 * 5120 + 5120 + 5120 * 5120 + 5120);

TEST_CASE("parameters of one linear, by the papers' formulas") {
  constexpr std::int64_t d_in = 48, d_out = 80;
  CHECK(Lora<8>::parameters(d_in, d_out).total() == 8 * (d_in + d_out));
  CHECK(MoeLora<4, 6>::parameters(d_in, d_out) == Parameters{24 * d_in, 24 * d_out, 6 * d_in});
  CHECK(HydraLora<4, 6>::parameters(d_in, d_out).total() == 4 * d_in + 6 * 4 * d_out + 6 * d_in);
  CHECK(BranchLora<4, 6, 2>::parameters(d_in, d_out) == Parameters{4 * d_in, 24 * d_out, 6 * d_in});
  CHECK(BranchLora<4, 6, 2>::parameters(d_in, d_out).total(3) ==
        4 * d_in + 24 * d_out + 3 * 6 * d_in);
  CHECK(SMora<16, 4>::parameters(d_in, d_out).total() == 16 * (d_in + d_out) + 16 * d_in);
  CHECK(MeteoRa<4, 6, 2>::parameters(d_in, d_out).total() == 6 * 4 * (d_in + d_out) + 6 * d_in);
  CHECK(Moa<4, 6>::parameters(d_in, d_out).total() == 6 * 4 * (d_in + d_out) + 6 * d_in);
  CHECK(MoLora<4, 6>::parameters(d_in, d_out).total() == 6 * 4 * (d_in + d_out) + 6 * d_in);
  CHECK(LoraMoe<4, 6>::parameters(d_in, d_out) == MoLora<4, 6>::parameters(d_in, d_out));
  CHECK(BranchLora<4, 6, 2>::with<exhausted::Grow<2>>::parameters(d_in, d_out) ==
        Parameters{4 * d_in, 32 * d_out, 8 * d_in});
}

/// Counts as it goes: the multiply-adds of c += a b for a of m x k, b of k x n.
std::int64_t product(std::int64_t m, std::int64_t k, std::int64_t n) {
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      for (std::int64_t l = 0; l < k; ++l) count += 2;
    }
  }
  return count;
}

/// The products of an adapter written out token by token and branch by branch.
struct Reference {
  std::int64_t d_in, d_out, tokens, routed;
  int rank, branches, chosen;
  bool shared, has_router;

  Work count() const {
    Work work;
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (int i = 0; i < (shared ? 1 : chosen); ++i) {
        work.forward += product(rank, d_in, 1);   // u = A x
        work.backward += product(rank, 1, d_in);  // dA += du x^T
        work.backward += product(d_in, rank, 1);  // dx += A^T du
      }
      for (int i = 0; i < chosen; ++i) {
        work.forward += product(d_out, rank, 1);   // y += B z
        work.backward += product(d_out, 1, rank);  // dB += dy z^T
        work.backward += product(rank, d_out, 1);  // dz = B^T dy
      }
    }
    for (std::int64_t t = 0; has_router && t < routed; ++t) {
      work.forward += product(branches, d_in, 1);
      work.backward += product(branches, 1, d_in) + product(d_in, branches, 1);
    }
    return work;
  }
};

TEST_CASE("operations agree with products counted one by one") {
  constexpr std::int64_t d_in = 12, d_out = 20, tokens = 9, sequences = 2;
  const Work frozen{product(tokens, d_in, d_out), product(tokens, d_out, d_in)};
  const auto check = [&]<class V>(V, const Reference& reference) {
    CAPTURE(V::describe());
    const Flops f = V::flops(d_in, d_out, tokens, sequences);
    CHECK(f.adapter == reference.count());
    CHECK(f.frozen == frozen);
  };
  check(Lora<3>{}, {d_in, d_out, tokens, tokens, 3, 1, 1, false, false});
  check(MoeLora<3, 4>{}, {d_in, d_out, tokens, tokens, 3, 4, 4, false, true});
  check(MoeLora<3, 4>::with<TopK<2>>{}, {d_in, d_out, tokens, tokens, 3, 4, 2, false, true});
  check(HydraLora<3, 4>{}, {d_in, d_out, tokens, tokens, 3, 4, 4, true, true});
  check(BranchLora<3, 4, 2>{}, {d_in, d_out, tokens, sequences, 3, 4, 2, true, true});
  check(BranchLora<3, 4, 2>::with<router::Linear<per::Token>>{},
        {d_in, d_out, tokens, tokens, 3, 4, 2, true, true});
  check(SMora<8, 3>{}, {d_in, d_out, tokens, tokens, 1, 8, 3, false, true});
  check(MeteoRa<3, 4, 2>{}, {d_in, d_out, tokens, tokens, 3, 4, 2, false, true});
  check(Moa<3, 4>{}, {d_in, d_out, tokens, sequences, 3, 4, 1, false, true});
  check(LoraMoe<3, 4>{}, {d_in, d_out, tokens, tokens, 3, 4, 4, false, true});
}

TEST_CASE("overhead is a share of the frozen linear") {
  // 8 experts of rank 4 and a router on 1024 x 1024: (32 + 8 + 32) / 1024.
  constexpr Flops f = flops<MoeLora<4, 8>>(1024, 1024, 512);
  CHECK(f.forward_overhead() == doctest::Approx(72.0 / 1024).epsilon(1e-12));
  CHECK(f.backward_overhead() == doctest::Approx(144.0 / 1024).epsilon(1e-12));
}

TEST_CASE("a model costs the sum of its linears") {
  constexpr ModelShape tiny = llama_shape("tiny", 3, 8, 20, 6);
  using V = BranchLora<2, 4, 2>;
  Parameters p;
  Flops f;
  for (int layer = 0; layer < 3; ++layer) {
    for (int i = 0; i < 4; ++i) p += V::parameters(8, 8), f += V::flops(8, 8, 5, 2);
    for (int i = 0; i < 2; ++i) p += V::parameters(8, 20), f += V::flops(8, 20, 5, 2);
    p += V::parameters(20, 8);
    f += V::flops(20, 8, 5, 2);
  }
  CHECK(parameters<V>(tiny) == p);
  CHECK(flops<V>(tiny, 5, 2) == f);
  CHECK(tiny.projector_parameters() == 6 * 8 + 8 + 8 * 8 + 8);
}

TEST_CASE("optimizer bytes are weight, gradient and two moments in float") {
  CHECK(Lora<8>::optimizer_bytes(48, 80) == 8 * (48 + 80) * 16);
  CHECK(optimizer_bytes<BranchLora<16, 8, 2>>(llava_7b) == (branch.total() + projector) * 16);
}

}  // namespace
}  // namespace branchlora
