#include "branchlora/adapter/on_attention.hpp"

#include <doctest/doctest.h>

#include <set>

#include "../io/temporary_folder.hpp"
#include "branchlora/adapter/method.hpp"
#include "branchlora/model/attach_adapters.hpp"
#include "model/tiny_model.hpp"
#include "support/variants.hpp"

using namespace branchlora;
using namespace branchlora::test;

namespace {

using Double = eigen::Backend<double>;
using Attention = OnAttention<Lora4>;
using AttentionBranches = OnAttention<BranchLora<3, 2, 1>>;

constexpr Hyper hyper{.alpha = 6.0};

}  // namespace

TEST_CASE("only the linears of attention have an adapter, and a model is priced so") {
  TinyModel<double> model;
  model.net.attach(method_of<Double, AttentionBranches>(), hyper, Random(5));
  model.net.for_each_adapter([](auto& adapter) { adapter.begin_task(0); });
  std::set<std::string> names;
  model.net.for_each_adapter([&](auto& adapter) { names.insert(adapter.name()); });
  std::set<std::string> expected;
  for (const char* block : {"0", "1"}) {
    for (const char* linear : {"q", "k", "v", "o"}) {
      expected.insert(std::string("decoder.block.") + block + "." + linear);
    }
  }
  CHECK(names == expected);

  Parameters counted;
  for (const auto& p : model.net.parameters()) {
    if (p.name.find(".lora_A") != std::string::npos) counted.a += p.value.size();
    if (p.name.find(".lora_B") != std::string::npos) counted.b += p.value.size();
    if (p.name.find(".router") != std::string::npos) counted.router += p.value.size();
  }
  CHECK(counted.total() > 0);
  CHECK(parameters<AttentionBranches>(tiny_shape) == counted);

  // Without an adapter there is the frozen product alone.
  constexpr LinearShape up{"up", 8, 6};
  static_assert(parameters<Attention>(up) == Parameters{});
  static_assert(flops<Attention>(up, 5, 1).adapter == decltype(Flops::adapter){});
  static_assert(flops<Attention>(up, 5, 1).frozen == flops<Lora4>(up, 5, 1).frozen);
  constexpr LinearShape q{"q", 8, 6};
  static_assert(parameters<Attention>(q) == parameters<Lora4>(q));
  static_assert(flops<Attention>(q, 5, 1) == flops<Lora4>(q, 5, 1));
  static_assert(
      std::same_as<Attention::with<init::Gaussian>, OnAttention<Lora4::with<init::Gaussian>>>);
}

TEST_CASE("it computes what the method does with nothing beside the feed-forward layer") {
  const model::Batch batch = batch_of({{0, 0, {{{1, 4, 5}, {2, 3}}}}, {1, 1, {{{1, 9, 3}, {6}}}}});
  TinyModel<double> attention, all;
  const auto bank = all.bank(2);
  attention.net.attach(method_of<Double, Attention>(), hyper, Random(3));
  all.net.attach(method_of<Double, Lora4>(), hyper, Random(3));
  CHECK(attention.logits(batch, bank) == all.logits(batch, bank));  // zero start
  attention.randomise(".lora_", 0.3);
  // A copy of every adapter that there is; B of the others stays zero.
  for (auto& p : attention.net.parameters()) {
    if (p.name.find(".lora_") == std::string::npos) continue;
    all.backend.copy(p.value, all.net.parameters().find(p.name)->value);
  }
  const auto logits = attention.logits(batch, bank);
  CHECK(logits == all.logits(batch, bank));
  CHECK_FALSE(logits == TinyModel<double>().logits(batch, bank));
}

TEST_CASE("a file of it is no file of the method on every linear") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "adapters";
  TinyModel<float> whole;
  whole.net.attach(method_of<eigen::Backend<float>, Attention>(), hyper, Random(3));
  whole.randomise(".lora_", 0.3);
  model::save_adapters<Attention>(path, whole.net, hyper);
  TinyModel<float> model;
  CHECK_THROWS_AS((model::attach_adapters<Lora4>(path, model.net)), Error);
  model::attach_adapters<Lora4, Attention>(path, model.net);
  const model::Batch batch = batch_of({{0, 0, {{{1, 4, 5}, {2, 3}}}}});
  const auto bank = whole.bank(1);
  CHECK(model.logits(batch, bank) == whole.logits(batch, bank));
}
