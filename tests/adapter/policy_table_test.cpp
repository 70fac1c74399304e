#include "branchlora/adapter/policy_table.hpp"

#include <doctest/doctest.h>

#include "branchlora/adapter/variant/dora.hpp"
#include "support/variants.hpp"

using namespace branchlora;

namespace {

namespace mine {
struct Off;
struct Category {
  template <class P>
  static constexpr bool accepts = true;
  template <class Given>
  using Default = Off;
};
struct Off {
  using Category = mine::Category;
  static constexpr std::string_view name() { return "mine::Off"; }
};
struct On {
  using Category = mine::Category;
  static constexpr std::string_view name() { return "mine::On"; }
};
}  // namespace mine

}  // namespace

TEST_CASE("a variant's policies stand by their categories, defaults included") {
  const PolicyTable table = policy_table<BranchLora<3, 4, 2>>();
  CHECK(table.at("Rank") == "Rank<3>");
  CHECK(table.at("Branches") == "Branches<4>");
  CHECK(table.at("TopK") == "TopK<2>");
  CHECK(table.at("trunk") == "trunk::Shared");
  CHECK(table.at("router") == "router::PerTask<router::Linear<per::FirstToken>>");
  CHECK(table.at("freezing") == "freezing::MostActive<2, activity::MeanWeight>");
  CHECK(table.at("exhausted") == "exhausted::ThawLeastActive");
  CHECK(table.at("router_start") == "router_start::Fresh");
  CHECK(policy_table<Lora<4>>().at("router") == "router::None");
}

TEST_CASE("no two categories have one name, and the table says all that describe says") {
  const PolicyTable table = policy_table<Lora<4>>();
  const auto categories = []<class... Cs>(List<Cs...>) { return sizeof...(Cs); }(Categories{});
  CHECK(table.size() == categories);
  for (const auto& [category, policy] : table) {
    CAPTURE(policy);
    CHECK(Lora<4>::describe().find(policy) != std::string::npos);
  }
}

TEST_CASE("a category of the user's is in the table") {
  CHECK(policy_table<Adapter<Rank<2>, mine::On>>().at("mine") == "mine::On");
}

TEST_CASE("the numbers that a trained adapter computes with, and no others") {
  const Hyper hyper{.alpha = 8, .dropout = 0.1, .balance_weight = 3, .temperature = 0.1};
  CHECK(hyper_table<Lora<4>>(hyper) == HyperTable{{"alpha", 8}});
  CHECK(hyper_table<Dora<4>>(hyper) == HyperTable{{"alpha", 8}});
  for (const auto& table :
       {hyper_table<BranchLora<3, 4, 2>>(hyper), hyper_table<MtlLora<3, 4>>(hyper)}) {
    CHECK(table == HyperTable{{"alpha", 8}, {"temperature", 0.1}});
  }
  CHECK(differences(hyper_table<MtlLora<3, 4>>(hyper), hyper_table<MtlLora<3, 4>>({.alpha = 8})) ==
        std::vector<std::string>{"temperature: file has 0.1, this program has 1"});
}

TEST_CASE("each policy that differs gives a sentence") {
  const auto was = policy_table<BranchLora<3, 4, 2>>();
  CHECK(differences(was, was).empty());
  const auto is = policy_table<BranchLora<3, 4, 2>::with<TopK<4>, freezing::Never>>();
  CHECK(differences(was, is) ==
        std::vector<std::string>{
            "TopK: file has TopK<2>, this program has TopK<4>",
            "freezing: file has freezing::MostActive<2, activity::MeanWeight>, this program has "
            "freezing::Never"});
  const auto plain = policy_table<Adapter<Rank<2>>>();
  const auto more = policy_table<Adapter<Rank<2>, mine::On>>();
  CHECK(differences(plain, more) ==
        std::vector<std::string>{"mine: file has none, this program has mine::On"});
  CHECK(differences(more, plain) ==
        std::vector<std::string>{"mine: file has mine::On, this program has none"});
}
