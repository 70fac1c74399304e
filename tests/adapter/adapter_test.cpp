#include "branchlora/adapter/adapter.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <sstream>

#include "branchlora/adapter/variant/branch_lora.hpp"
#include "branchlora/adapter/variant/hydra_lora.hpp"
#include "branchlora/adapter/variant/lora.hpp"
#include "branchlora/adapter/variant/moe_lora.hpp"
#include "branchlora/adapter/variant/rs_lora.hpp"

// Policies as a user would write them, outside the library.
namespace mine {

// A router that scores with two rows a branch.
struct TwoHeaded {
  using Category = branchlora::category::Router;
  using Granularity = branchlora::per::MeanToken;
  static constexpr bool per_task = false;
  static constexpr const char* name() { return "mine::TwoHeaded"; }
  static constexpr int rows(int branches) { return 2 * branches; }
};

// Freezes whatever took more than a share of the weight, at most `count` branches.
struct Dominant {
  using Category = branchlora::category::Freezing;
  using Activity = branchlora::activity::MeanWeight;
  static constexpr int count = 2;
  static std::string name() { return "mine::Dominant"; }
  static constexpr branchlora::BranchSet choose(std::span<const double> activity,
                                                branchlora::BranchSet tunable) {
    branchlora::BranchSet chosen = 0;
    for (std::size_t i = 0; i < activity.size(); ++i) {
      if (activity[i] > 1.0 / 3.0) chosen |= tunable & (branchlora::BranchSet{1} << i);
    }
    return chosen;
  }
};

// A category of its own, with a default that looks at another category.
struct Narrow;
struct Wide;
struct Width {
  template <class P>
  static constexpr bool accepts = requires {
    P::factor;
  };
  template <class Given>
  using Default =
      std::conditional_t<Given::template get<branchlora::category::Trunk>::shared, Wide, Narrow>;
};
struct Narrow {
  using Category = Width;
  static constexpr int factor = 1;
  static constexpr const char* name() { return "mine::Narrow"; }
};
struct Wide {
  using Category = Width;
  static constexpr int factor = 2;
  static constexpr const char* name() { return "mine::Wide"; }
};

}  // namespace mine

namespace branchlora {
namespace {

template <class P, class Q>
constexpr bool same = std::is_same_v<P, Q>;

TEST_CASE("an adapter without arguments is LoRA of rank 8") {
  using A = Adapter<>;
  CHECK(A::describe() == Lora<8>::describe());
  static_assert(A::rank == 8 && A::branches == 1 && A::capacity == 1 && A::top_k == 1);
  static_assert(A::a_rows == 8 && A::b_rows == 8 && A::gate_rows == 0);
  static_assert(A::dense && !A::per_task_router);
  static_assert(same<A::Router, router::None> && same<A::Selector, selector::None>);
  static_assert(std::is_empty_v<A> && A{} == A{});
}

TEST_CASE("defaults follow from what is given") {
  using Dense = Adapter<Branches<4>>;
  static_assert(Dense::top_k == 4 && Dense::dense &&
                same<Dense::Router, router::Linear<per::Token>>);
  using Tasks = Adapter<Branches<4>, router::PerTask<>>;
  static_assert(same<Tasks::Selector, selector::NearestKey> && Tasks::per_task_router);
  using Few = Adapter<Branches<4>, TopK<2>>;
  static_assert(same<Few::Gating, gating::TopKThenSoftmax> && !Few::dense);
}

TEST_CASE("the order of the arguments does not matter") {
  using A = Adapter<Rank<4>, Branches<8>, TopK<2>, trunk::Shared, freezing::MostActive<2>>;
  using B = Adapter<freezing::MostActive<2>, trunk::Shared, TopK<2>, Branches<8>, Rank<4>>;
  CHECK(A::describe() == B::describe());
  static_assert(A::parameters(64, 32) == B::parameters(64, 32));
}

TEST_CASE("an adapter describes itself in full, in the order of the categories") {
  const std::string expected =
      "Adapter<Rank<16>, Branches<8>, TopK<2>, trunk::Shared, "
      "router::PerTask<router::Linear<per::FirstToken>>, gating::TopKThenSoftmax, "
      "freezing::MostActive<2, activity::MeanWeight>, reach::All, exhausted::ThawLeastActive, "
      "router_start::Fresh, selector::NearestKey, balance::None, scaling::AlphaOverTotalRank, "
      "init::Gaussian>";
  CHECK(BranchLora<16, 8, 2>::describe() == expected);
  std::ostringstream out;
  out << BranchLora<16, 8, 2>{};
  CHECK(out.str() == expected);
  CHECK(describe<Rank<16>>() == "Rank<16>");
  CHECK(describe<exhausted::Grow<4>>() == "exhausted::Grow<4>");
}

TEST_CASE("with replaces the policy of a category and nothing else") {
  using Branch = BranchLora<16, 8, 2>;
  using NoFreezing = Branch::with<freezing::Never>;
  static_assert(same<NoFreezing::Freezing, freezing::Never>);
  static_assert(same<NoFreezing::Trunk, trunk::Shared> && same<NoFreezing::Init, init::Gaussian>);
  static_assert(NoFreezing::rank == 16 && NoFreezing::branches == 8 && NoFreezing::top_k == 2);
  static_assert(NoFreezing::per_task_router);
  CHECK(NoFreezing::with<freezing::MostActive<2>>::describe() == Branch::describe());

  using Larger = MoeLora<16, 8>::with<Rank<4>, Branches<32>, trunk::Shared>;
  static_assert(Larger::rank == 4 && Larger::branches == 32 && same<Larger::Trunk, trunk::Shared>);
  static_assert(Larger::top_k == 32, "what was not given follows its default anew");
  static_assert(same<Branch::with<router::Linear<>>::Selector, selector::None>);
}

TEST_CASE("the ladder from MoELoRA to BranchLoRA is one word a rung") {
  using Shared = MoeLora<16, 8>::with<trunk::Shared>;
  using Sparse = Shared::with<TopK<2>>;
  using Freezing = Sparse::with<freezing::MostActive<2>>;
  using Tasks = Freezing::with<router::PerTask<router::Linear<per::FirstToken>>>;
  CHECK(Tasks::describe() == BranchLora<16, 8, 2>::describe());
}

TEST_CASE("a user's policy takes its place by its category") {
  using A = Adapter<Branches<4>, mine::TwoHeaded, mine::Dominant>;
  static_assert(same<A::Router, mine::TwoHeaded> && A::gate_rows == 8);
  static_assert(A::Granularity::per_sequence);
  constexpr std::array activity{0.1, 0.5, 0.0, 0.4};
  static_assert(A::Freezing::choose(activity, 0b0111) == 0b0010);
  CHECK(A::describe().find("mine::TwoHeaded, gating::TopKThenSoftmax, mine::Dominant, reach") !=
        std::string::npos);
  static_assert(same<BranchLora<8, 4, 2>::with<mine::Dominant>::Freezing, mine::Dominant>);
}

TEST_CASE("a user's category has its default, and prints last") {
  static_assert(same<Lora<8>::get<mine::Width>, mine::Narrow>);
  static_assert(same<HydraLora<8, 4>::get<mine::Width>, mine::Wide>);
  using Set = Lora<8>::with<mine::Wide>;
  static_assert(same<Set::get<mine::Width>, mine::Wide> && Set::get<mine::Width>::factor == 2);
  CHECK(Set::describe() ==
        Lora<8>::describe().substr(0, Lora<8>::describe().size() - 1) + ", mine::Wide>");
  static_assert(same<Set::with<mine::Narrow>::get<mine::Width>, mine::Narrow>);
}

TEST_CASE("capacity counts the branches that may be added") {
  using A = BranchLora<16, 8, 2>::with<exhausted::Grow<4>>;
  static_assert(A::branches == 8 && A::capacity == 12);
  static_assert(A::a_rows == 16 && A::b_rows == 12 * 16 && A::gate_rows == 12);
  using B = A::with<trunk::Separate>;
  static_assert(B::a_rows == 12 * 16);
}

TEST_CASE("the factor s is each paper's") {
  CHECK(BranchLora<16, 8, 2>::scale(branch_lora_hyper) == 2.0);
  CHECK(MoeLora<16, 8>::scale(moe_lora_hyper) == 2.0);
  CHECK(HydraLora<4, 4>::scale(hydra_lora_hyper) == 8.0);
  CHECK(Lora<8>::scale({.alpha = 32}) == 4.0);
  CHECK(RsLora<16>::scale({.alpha = 32}) == 8.0);
  CHECK(RsLora<2>::scale({.alpha = 1}) == doctest::Approx(0.7071067811865476).epsilon(1e-15));
}

TEST_CASE("the most and least active branches of a set") {
  constexpr std::array activity{0.1, 0.4, 0.2, 0.4, 0.3};
  CHECK(most_active(activity, 0b11111, 1) == 0b00010);  // of equals, the lower index
  CHECK(most_active(activity, 0b11111, 3) == 0b11010);
  CHECK(most_active(activity, 0b10101, 2) == 0b10100);
  CHECK(least_active(activity, 0b11110, 2) == 0b10100);
  CHECK(most_active(activity, 0b00100, 3) == 0b00100);
  CHECK(most_active(activity, 0, 2) == 0);
  CHECK(most_active(activity, 0b11111, 0) == 0);
  std::array<double, 64> last{};
  last[63] = 1.0;
  CHECK(most_active(last, first_branches(64), 1) == BranchSet{1} << 63);
  CHECK(first_branches(0) == 0);
  CHECK(first_branches(3) == 0b111);
  CHECK(first_branches(64) == ~BranchSet{0});
}

TEST_CASE("freezing, reach and exhausted policies on sets of branches") {
  constexpr std::array activity{0.1, 0.4, 0.2, 0.3};
  CHECK(freezing::MostActive<2>::choose(activity, 0b1111) == 0b1010);
  CHECK(freezing::MostActive<2>::choose(activity, 0b0101) == 0b0101);
  CHECK(freezing::Never::choose(activity, 0b1111) == 0);

  CHECK(activity::MeanWeight::of(0.25) == 0.25);
  CHECK(activity::SelectionCount::of(0.25) == 1.0);
  CHECK(activity::SelectionCount::of(0.0) == 0.0);

  CHECK(reach::All::allowed(0b0011, 0b1100) == 0b1111);
  CHECK(reach::TunableOnly::allowed(0b0011, 0b1100) == 0b0011);
  CHECK(reach::FrozenOnly::allowed(0b0011, 0b1100) == 0b1100);
  CHECK(reach::FrozenOnly::allowed(0b0011, 0) == 0b0011);

  CHECK(exhausted::FrozenOnly::thaw(activity, 0b1111, 2) == 0);
  CHECK(exhausted::Grow<4>::thaw(activity, 0b1111, 2) == 0);
  CHECK(exhausted::ThawLeastActive::thaw(activity, 0b1111, 2) == 0b0101);
  CHECK(exhausted::ThawLeastActive::thaw(activity, 0b1010, 1) == 0b1000);
}

TEST_CASE("the balance loss is 1 when balanced and N when one branch takes all") {
  const auto loss = [](std::span<const double> load, std::span<const double> probability) {
    double sum = 0;
    for (std::size_t i = 0; i < load.size(); ++i) {
      sum += balance::Switch::slope(load[i], static_cast<int>(load.size())) * probability[i];
    }
    return sum;
  };
  constexpr std::array even{0.25, 0.25, 0.25, 0.25};
  constexpr std::array one{0.0, 0.0, 1.0, 0.0};
  CHECK(loss(even, even) == 1.0);
  CHECK(loss(one, one) == 4.0);
  static_assert(!ProbabilityBalance<balance::None> && !WeightBalance<balance::None>);
}

// With n independent draws of standard deviation d, the mean lies within 5 d / sqrt(n) of its
// expectation but for one case in a million; the mean square likewise, with the standard deviation
// of the squares (sqrt(2) d^2 for a normal, sqrt(4/45) b^2 for a uniform on +-b).
TEST_CASE("A starts with the distribution that its policy names") {
  const Random random(7);
  constexpr Index fan_in = 64;
  constexpr int n = 4096;
  double sum = 0, squares = 0, largest = 0, normal_sum = 0, normal_squares = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = init::KaimingUniform::draw(random, i, fan_in);
    const double g = init::Gaussian::draw(random, i, fan_in);
    sum += u;
    squares += u * u;
    largest = std::max(largest, std::abs(u));
    normal_sum += g;
    normal_squares += g * g;
  }
  constexpr double bound = 1.0 / 8.0, deviation = 0.01, root = 64.0;  // root = sqrt(n)
  CHECK(largest <= bound);
  CHECK(largest > 0.99 * bound);
  CHECK(std::abs(sum / n) < 5 * bound / std::sqrt(3.0) / root);
  CHECK(std::abs(squares / n - bound * bound / 3) < 5 * std::sqrt(4.0 / 45) * bound * bound / root);
  CHECK(std::abs(normal_sum / n) < 5 * deviation / root);
  CHECK(std::abs(normal_squares / n - deviation * deviation) <
        5 * std::sqrt(2.0) * deviation * deviation / root);
}

}  // namespace
}  // namespace branchlora
